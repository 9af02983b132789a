//! The configuration: what is wrong is told with its line and what to do.

use std::fs;
use std::path::Path;

use plumb::config::{Config, DEFAULT};

/// The documentation itself, with the secrets in files instead of the environment.
fn default_with_files(folder: &Path) -> String {
    fs::write(folder.join("b3-east.password"), "open sesame\n").expect("a writable folder");
    fs::write(
        folder.join("guardroom.secret"),
        "whsec_cGx1bWIgdGVzdHMgcGx1bWIgdGVzdHMgcGx1bWI=\n",
    )
    .expect("writable");
    DEFAULT
        .replace("password_env =", "# password_env =")
        .replace("# password_file =", "password_file =")
        .replace("secret_env =", "# secret_env =")
        .replace("# secret_file =", "secret_file =")
}

fn problems(text: &str, folder: &Path) -> String {
    let path = folder.join("plumb.toml");
    fs::write(&path, text).expect("a writable folder");
    Config::read(&path)
        .expect_err("something is wrong with it")
        .to_string()
}

#[test]
fn documented_default_is_a_whole_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config::parse(&default_with_files(folder.path()), folder.path())
        .expect("the documentation is right");
    assert_eq!(config.cameras.len(), 1);
    assert_eq!(config.endpoints.len(), 1);
    assert_eq!(config.cameras[0].name, "Building 3, east side");
    assert!(
        !format!("{config:?}").contains("sesame"),
        "a password must not be printed"
    );
}

#[test]
fn names_the_line_and_the_nearest_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = default_with_files(folder.path()).replace("\ntransport =", "\ntransprot =");
    let line = text
        .lines()
        .position(|line| line.starts_with("transprot"))
        .expect("the key")
        + 1;
    let told = problems(&text, folder.path());
    assert!(told.contains(&format!("plumb.toml:{line}:")), "{told}");
    assert!(told.contains("did you mean \"transport\"?"), "{told}");
}

#[test]
fn tells_all_problems_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "[[site]]\nid = \"a\"\n[[camera]]\nid = \"one\"\nsite = \"b\"\nkind = \"facade\"\nurl = \"rtsp://h/1\"\n\
                [[camera]]\nid = \"one\"\nsite = \"a\"\nkind = \"facade\"\nurl = \"http://h/1\"\nstall_timeout_s = 0.1\n\
                [[camera]]\nid = \"../x\"\nsite = \"a\"\nkind = \"facade\"\nurl = \"rtsp://me:secret@h/1\"\n";
    let told = problems(text, folder.path());
    for expected in [
        "plumb.toml:5: there is no [[site]] with id \"b\"",
        "plumb.toml:9: camera id \"one\" is used twice",
        "plumb.toml:12: the camera's url",
        "plumb.toml:15: id \"../x\"",
    ] {
        assert!(told.contains(expected), "{expected} is missing in:\n{told}");
    }
    assert!(!told.contains("secret@"), "{told}");
}

#[test]
fn refuses_an_open_port_over_which_passwords_would_travel_unencrypted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = default_with_files(folder.path()).replace("127.0.0.1:8480", "0.0.0.0:8480");
    let told = problems(&open, folder.path());
    assert!(told.contains("allow_plain_http"), "{told}");
    let allowed = open.replace("allow_plain_http = false", "allow_plain_http = true");
    Config::parse(&allowed, folder.path()).expect("it was allowed");
    let own = open
        .replace("# tls_certificate", "tls_certificate")
        .replace("# tls_key", "tls_key");
    let config = Config::parse(&own, folder.path()).expect("it encrypts by itself");
    assert!(config.http.is_encrypted());
    let half = open.replace("# tls_certificate", "tls_certificate");
    assert!(problems(&half, folder.path()).contains("go together"));
    let behind_tls = open.replace("# public_url =", "public_url =");
    Config::parse(&behind_tls, folder.path()).expect("a proxy encrypts");
}

#[test]
fn a_configuration_of_before_the_sign_in_still_starts_and_is_told_what_changed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let now = default_with_files(folder.path()).replace("127.0.0.1:8480", "0.0.0.0:8480");
    let old = now.replace("allow_plain_http = false", "allow_unauthenticated = true");
    let line = old
        .lines()
        .position(|line| line.starts_with("allow_unauthenticated"))
        .expect("the key")
        + 1;
    let config = Config::parse(&old, folder.path()).expect("it worked yesterday");
    assert_eq!(config.advice.len(), 1);
    assert_eq!(config.advice[0].line, Some(line));
    assert!(
        config.advice[0].message.contains("plumb token add"),
        "{}",
        config.advice[0].message
    );
}

#[test]
fn inference_is_by_default_one_a_core_on_the_processor() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = default_with_files(folder.path());
    let config = Config::parse(&text, folder.path()).expect("the documentation is right");
    assert_eq!(config.inference, plumb::detect::Inference::default());

    let chosen = text
        .replace("provider = \"cpu\"", "provider = \"cuda\"")
        .replace("# threads = 4", "threads = 3");
    let config = Config::parse(&chosen, folder.path()).expect("both are known");
    assert_eq!(config.inference.provider, plumb::detect::Provider::Cuda);
    assert_eq!(config.inference.threads.get(), 3);

    let told = problems(&text.replace("# threads = 4", "threads = 0"), folder.path());
    assert!(
        told.contains("threads = 0 is not within 1 to 256"),
        "{told}"
    );
    let told = problems(
        &text.replace("provider = \"cpu\"", "provider = \"gpu\""),
        folder.path(),
    );
    assert!(told.contains("gpu") && told.contains("openvino"), "{told}");
}

#[test]
fn the_processor_decodes_unless_an_engine_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = default_with_files(folder.path());
    let hardware = |text: &str| {
        let config = Config::parse(text, folder.path()).expect("it is known");
        config.decode.hardware
    };
    let named = |name| text.replace("hardware = \"none\"", &format!("hardware = \"{name}\""));
    assert_eq!(hardware(&text), plumb::decode::Hardware::None);
    assert_eq!(hardware(&named("vaapi")), plumb::decode::Hardware::Vaapi);
    assert_eq!(hardware(&named("cuda")), plumb::decode::Hardware::Cuda);
    let told = problems(&named("gpu"), folder.path());
    assert!(told.contains("gpu") && told.contains("vaapi"), "{told}");
}

#[test]
fn sessions_and_proxies_are_checked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = default_with_files(folder.path())
        .replace("session_hours = 12", "session_hours = 100")
        .replace("proxies = []", "proxies = [\"my-proxy\"]");
    let told = problems(&text, folder.path());
    assert!(told.contains("http.proxies holds"), "{told}");
    let text = text.replace("my-proxy", "192.0.2.7");
    let told = problems(&text, folder.path());
    assert!(
        told.contains("http.session_hours is a number from 1 to 24"),
        "{told}"
    );
}

#[test]
fn names_what_is_wrong_with_a_scene() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(
        folder.path().join("b3-east.scene.toml"),
        "[facade]\nfloors = 24\nflor_lines = []\n",
    )
    .expect("writable");
    let text = default_with_files(folder.path()).replace("# scene =", "scene =");
    let told = problems(&text, folder.path());
    assert!(
        told.contains("b3-east.scene.toml:3:") && told.contains("flor_lines"),
        "{told}"
    );
}

#[test]
fn wrong_types_and_broken_toml_name_their_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert!(problems("data_dir = 3\n", folder.path()).contains("plumb.toml:1:"));
    assert!(problems("\n[http\n", folder.path()).contains("plumb.toml:2:"));
    let missing = folder.path().join("nowhere.toml");
    let told = Config::read(&missing)
        .expect_err("there is no file")
        .to_string();
    assert!(told.contains("nowhere.toml: cannot be read"), "{told}");
}

#[test]
fn refuses_scenes_that_cannot_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let crossing = "[facade]\nfloors = 24\nfloor_lines = [\n\
        { floor = 3, left = [0.1, 0.9], right = [0.9, 0.5] },\n\
        { floor = 6, left = [0.1, 0.6], right = [0.9, 0.8] },\n]\n";
    let outside = "[facade]\nfloors = 24\nmasks = [[[0.1, 0.1], [1.4, 0.1], [0.5, 0.5]]]\n";
    let no_floor = "[elevator]\ncar_floor = [[0.1, 0.1], [0.5, -0.2], [0.5, 0.5]]\n";
    for (scene, key) in [
        (crossing, "floor_lines"),
        (outside, "masks"),
        (no_floor, "car_floor"),
    ] {
        let path = folder.path().join("scene.toml");
        fs::write(&path, scene).expect("writable");
        let told = plumb::config::read_scene(&path)
            .expect_err(scene)
            .to_string();
        assert!(told.contains(key) && told.contains("scene.toml"), "{told}");
    }
}

#[test]
fn a_place_is_called_by_its_building_and_elevator_unless_people_call_it_otherwise() {
    let camera = |id: &str, rest: &str| {
        format!(
            "[[camera]]\nid = \"{id}\"\nsite = \"s\"\nkind = \"elevator\"\nurl = \"file:x.mp4\"\n{rest}\n"
        )
    };
    let both = "building = \"Tower 5\"\nelevator = \"lift 2\"";
    let text = [
        "[[site]]\nid = \"s\"\n".to_owned(),
        camera("a", both),
        camera(
            "b",
            &format!("{both}\nplace = \"The lift of the kindergarten\""),
        ),
        camera("c", ""),
    ];
    let config = Config::parse(&text.concat(), Path::new(".")).expect("it is right");
    let places: Vec<_> = config.cameras.iter().map(|c| c.place.as_str()).collect();
    assert_eq!(
        places,
        ["Tower 5, lift 2", "The lift of the kindergarten", ""]
    );
    assert_eq!(config.cameras[1].elevator, "lift 2");
}

#[test]
fn a_building_or_elevator_that_is_not_listed_is_told_with_the_nearest_that_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = "[[site]]\nid = \"a\"\n[[site]]\nid = \"b\"\n";
    let listed = "[[building]]\nid = \"t5\"\nsite = \"a\"\nname = \"Tower 5\"\nfloors = 30\n\
        [[building]]\nid = \"t6\"\nsite = \"a\"\nname = \"Tower 6\"\nfloors = 30\n\
        [[elevator]]\nid = \"t5-1\"\nsite = \"a\"\nbuilding = \"Tower 5\"\nname = \"Lift 1\"\n";
    let camera = |id: &str, site: &str, kind: &str, rest: &str| {
        format!(
            "[[camera]]\nid = \"{id}\"\nsite = \"{site}\"\nkind = \"{kind}\"\nurl = \"file:x.mp4\"\n{rest}\n"
        )
    };
    let good = [
        camera("one", "a", "facade", "building = \"Tower 5\""),
        // By the id here, by the name at the elevator.
        camera(
            "two",
            "a",
            "elevator",
            "building = \"t5\"\nelevator = \"Lift 1\"",
        ),
        camera("three", "b", "facade", "building = \"Tower 5\""),
        camera("four", "a", "facade", ""),
    ];
    let config = Config::parse(&format!("{site}{listed}{}", good.concat()), folder.path());
    let config = config.expect("it is right");
    let watched = config
        .inventory
        .cameras
        .iter()
        .map(|one| one.watches.as_deref());
    let watched: Vec<_> = watched.collect();
    assert_eq!(watched, [Some("t5"), Some("t5-1"), None, None]);
    // The other site lists none: that is no failure, and is told.
    assert_eq!(config.advice.len(), 1, "{:?}", config.advice);
    assert_eq!(config.advice[0].line, Some(38));
    assert!(config.advice[0].message.contains("lists no [[building]]"));

    let bad = [
        camera("one", "a", "facade", "building = \"Towr 6\""),
        camera(
            "two",
            "a",
            "elevator",
            "building = \"Tower 5\"\nelevator = \"Lft 1\"",
        ),
        camera(
            "three",
            "a",
            "elevator",
            "building = \"Tower 6\"\nelevator = \"Lift 1\"",
        ),
    ];
    let told = problems(&format!("{site}{listed}{}", bad.concat()), folder.path());
    for expected in [
        "plumb.toml:25: building \"Towr 6\" is no [[building]] of the camera's site; did you mean \"Tower 6\"?",
        "plumb.toml:32: elevator \"Lft 1\" is no [[elevator]] of the camera's site; did you mean \"Lift 1\"?",
        "plumb.toml:39: the [[elevator]] \"Lift 1\" is in another building",
    ] {
        assert!(told.contains(expected), "{expected} is missing in:\n{told}");
    }
}

#[test]
fn a_camera_code_that_cannot_be_is_told_with_its_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let camera = |id: &str, code: &str| {
        format!(
            "[[camera]]\nid = \"{id}\"\nsite = \"a\"\nkind = \"facade\"\nurl = \"file:x.mp4\"\ncode = \"{code}\"\n"
        )
    };
    let site = "[[site]]\nid = \"a\"\ncivil_code = \"370781\"\n";
    let good = format!("{site}{}", camera("one", "37078100011327000001"));
    let config = Config::parse(&good, folder.path()).expect("it is right");
    let code = config.inventory.cameras[0].code.as_deref();
    assert_eq!(code, Some("37078100011327000001"));
    let bad = [
        camera("one", "3707810001132700000"),
        camera("two", "37078200011327000001"),
        camera("three", "37078100011187000001"),
        camera("four", "37078100011327000001"),
        camera("five", "37078100011327000001"),
    ];
    let told = problems(&format!("{site}{}", bad.concat()), folder.path());
    for expected in [
        "plumb.toml:9: the camera's code (GB/T 28181) \"3707810001132700000\" is not 20 digits",
        "plumb.toml:15: the camera's code (GB/T 28181) \"37078200011327000001\" is of the division 370782",
        "plumb.toml:21: the camera's code (GB/T 28181) \"37078100011187000001\" is of the type 118",
        "plumb.toml:33: the camera's code \"37078100011327000001\" is used twice",
    ] {
        assert!(told.contains(expected), "{expected} is missing in:\n{told}");
    }
}
