//! TLS by the service itself.

use std::fs;
use std::process::Command;

use super::{Home, file_camera};

/// Makes a certificate for 127.0.0.1 and its key in the home.
fn certificate(home: &Home, name: &str) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=plumb test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(home.path(&format!("{name}.key")))
        .arg("-out")
        .arg(home.path(&format!("{name}.crt")))
        .output()
        .expect("Debian has openssl");
    assert!(made.status.success(), "{made:?}");
}

fn home(key: &str) -> Home {
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[]);
    certificate(&home, "one");
    certificate(&home, "other");
    let path = home.path("plumb.toml");
    let text = fs::read_to_string(&path).expect("it was written");
    let with = format!("[http]\ntls_certificate = \"one.crt\"\ntls_key = \"{key}\"\n");
    fs::write(path, text.replace("[http]\n", &with)).expect("writable");
    home
}

#[tokio::test]
async fn browsers_reach_it_by_https_alone_and_cookies_travel_by_nothing_else() {
    let home = home("one.key");
    let service = home.run();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = fs::read(home.path("one.crt")).expect("it was made");
    let root = reqwest::Certificate::from_pem(&pem).expect("a certificate");
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let site = format!("https://{}", service.address);
    let page = client
        .get(format!("{site}/sign-in"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        page.headers()["strict-transport-security"],
        "max-age=31536000"
    );
    let chosen = client
        .post(format!("{site}/language"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("language=en&back=/");
    let chosen = chosen.send().await.expect("an answer");
    let cookie = chosen.headers()["set-cookie"].to_str().expect("text");
    assert!(cookie.contains("; Secure"), "{cookie}");
    let plain = client
        .get(format!("http://{}/healthz", service.address))
        .send()
        .await;
    assert!(plain.is_err(), "nothing answers without TLS");
    // One that shakes no hand keeps nobody else waiting.
    let _silent = tokio::net::TcpStream::connect(&service.address)
        .await
        .expect("it listens");
    let alive = client
        .get(format!("{site}/healthz"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(alive.status(), reqwest::StatusCode::OK);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    for (key, says) in [
        ("other.key", "do not fit together"),
        ("none.key", "http.tls_key"),
    ] {
        let home = home(key);
        let ended = super::plumb(&["run", "--config", &home.config()]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

/// Returns a client that trusts one certificate alone.
fn trusting(home: &Home, name: &str) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = fs::read(home.path(&format!("{name}.crt"))).expect("it was made");
    let root = reqwest::Certificate::from_pem(&pem).expect("a certificate");
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
    builder.build().expect("a client")
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_over_at_a_hang_up() {
    let home = home("one.key");
    let service = home.run();
    let (old, new) = (trusting(&home, "one"), trusting(&home, "other"));
    let url = format!("https://{}/healthz", service.address);
    assert!(old.get(&url).send().await.is_ok());
    assert!(
        new.get(&url).send().await.is_err(),
        "not its certificate yet"
    );
    // Half of it changes nothing: the key does not fit.
    fs::copy(home.path("other.crt"), home.path("one.crt")).expect("writable");
    service.running.signal(rustix::process::Signal::HUP);
    service.running.wait_for("refusal", |line| {
        line.contains("the old one stays").then_some(())
    });
    assert!(old.get(&url).send().await.is_ok());
    fs::copy(home.path("other.key"), home.path("one.key")).expect("writable");
    service.running.signal(rustix::process::Signal::HUP);
    service.running.wait_for("word of it", |line| {
        line.contains("was read again").then_some(())
    });
    assert!(new.get(&url).send().await.is_ok());
    assert_eq!(service.stop(), Some(0));
}
