//! Why there is no evidence, or less of it, no bundle, no replay and no stream: the sentences that the
//! store and the cameras' health keep, in the reader's language.
//!
//! What is kept is a sentence, since it stands in manifests and in answers to programs, and outlives the
//! version that wrote it. A page finds the sentence it was made of and tells it in Chinese. What it does
//! not know it tells as it stands.

use std::borrow::Cow;

use crate::evidence::{CLIP, MANIFEST, SNAPSHOT, STROBE};
use crate::http::ui::language::Language;

/// Each sentence as the program has it, with its places, and in Chinese with the same places in the
/// same order. Of a path its last part is told.
const LACKS: &[(&str, &str)] = &[
    // Evidence as a whole.
    ("the data directory cannot be written", "数据目录不可写"),
    (
        "the service stopped before the evidence was complete",
        "证据尚未完整时服务已停止",
    ),
    (
        "the disk has {} MiB left, which the database needs",
        "磁盘仅剩 {} MiB，须留给数据库",
    ),
    (
        "the evidence folder {path} cannot be made; is the data directory there and writable?",
        "无法建立证据文件夹 {}；请检查数据目录是否存在且可写",
    ),
    (
        "camera {camera} has {open} alarms whose evidence is still being gathered; no room for another",
        "摄像机 {} 已有 {} 条报警正在收集证据，无法再收集",
    ),
    (
        "writing it failed inside the program; see the log",
        "写入时程序内部出错，详见日志",
    ),
    (
        "deleted: older than the {days} days for which evidence is kept",
        "已删除：超过 {} 天的保存期限",
    ),
    (
        "deleted: evidence took {} of the {} MiB that it may take, and this was the oldest",
        "已删除：证据占用 {} MiB，上限 {} MiB，此为最早的一份",
    ),
    // One of its files.
    ("no decoded frame shows it", "没有解码到拍到它的画面"),
    ("the camera had sent no picture", "摄像机没有送来画面"),
    ("the clip cannot be made", "无法制作录像"),
    (
        "the picture cannot be encoded as JPEG",
        "图片无法编码为 JPEG",
    ),
    (
        "{path} cannot be written; is the disk full or read-only?",
        "无法写入 {}；请检查磁盘是否已满或只读",
    ),
    (
        "none of the {packets} packets at hand is a key picture to begin with",
        "现有的 {} 个数据包中没有可作为开头的关键帧",
    ),
    (
        "path {path} is not UTF-8, which FFmpeg needs; choose another data directory",
        "路径 {} 不是 UTF-8，FFmpeg 无法使用；请更换数据目录",
    ),
    (
        "{step} of {path} failed; MP4 must hold the codec, and the disk must have room",
        "“{}”失败（{}）；MP4 须支持该编码，磁盘须有空间",
    ),
    (
        "{path} cannot be put on disk; is it full or read-only?",
        "{} 无法存盘；请检查磁盘是否已满或只读",
    ),
    // What the service tells of itself.
    (
        "evidence takes {:.0} % of its room",
        "证据已占其空间的 {} %",
    ),
    (
        "the machine's clock leapt by {hours:+.1} h; the age of evidence is not counted by it",
        "系统时钟跳变了 {} 小时；证据的保存期限不受影响",
    ),
    // Bundles.
    (
        "the bundle could not be written; the service's log says why",
        "导出包无法写入，原因见服务日志",
    ),
    (
        "making it failed inside the program; see its log",
        "制作时程序内部出错，详见日志",
    ),
    // Replays.
    (
        "the segment is not as it was recorded",
        "该段录像与录制时不一致",
    ),
    (
        "the service stopped before it was done",
        "回放完成前服务已停止",
    ),
    ("the machine gave no thread for it", "系统无法再开启线程"),
    ("it took more than {} minutes", "耗时超过 {} 分钟"),
    (
        "the models on the disk are not those that the service runs on",
        "磁盘上的模型不是服务正在使用的模型",
    ),
    ("cannot open {path}", "无法打开 {}"),
    (
        "{path} is a folder; name a recording in it",
        "{} 是文件夹；请指定其中的录像",
    ),
    (
        "{path} is empty; was the recording written?",
        "{} 是空文件；请检查录像是否已写入",
    ),
    (
        "{path} has no index (moov): the recording is not finished or was cut off; record it to its end, \
         or use a container that needs no end, as .mkv or .ts",
        "{} 没有索引（moov）：录像未结束或被截断；请完整录制，或使用 .mkv、.ts 等格式",
    ),
    (
        "{path} is not a recording that FFmpeg can read",
        "FFmpeg 无法读取录像 {}",
    ),
    ("{path} holds no video stream", "{} 中没有视频流"),
    (
        "reading {path} failed after {packets} packets",
        "{} 在第 {} 个数据包后读取失败",
    ),
    (
        "{path} breaks off after {read_s:.1} s of {duration_s:.1} s; what there was has been read",
        "{} 在 {} 秒处中断（全长 {} 秒）；已读取其余部分",
    ),
    ("cannot decode {path}", "无法解码 {}"),
    (
        "this FFmpeg has no decoder for {0:?}; install Debian's libavcodec with that codec",
        "此 FFmpeg 没有 {} 解码器；请安装含该编码的 libavcodec",
    ),
    (
        "cannot open the decoder for {codec:?}",
        "无法打开 {} 解码器",
    ),
    (
        "pictures of {width_px}x{height_px} are larger than the {PIXELS_MAX} pixels (8192x8192) that are \
         decoded; set the camera to a smaller picture",
        "画面 {}x{} 超过可解码的 {} 像素（8192x8192）；请在摄像机上调小画面",
    ),
    // Cameras.
    (
        "no answer from {url} within {limit}; is the camera on, and is this its address?",
        "{} 在 {} 内无应答；请检查摄像机是否通电、地址是否正确",
    ),
    (
        "no picture from {url} for {limit}; {hint}",
        "{} 已 {} 没有画面；{}",
    ),
    (
        "{url} closed the connection; the camera may be restarting",
        "{} 断开了连接；摄像机可能正在重启",
    ),
    (
        "no key picture from {url} within {limit}; set the camera's I-frame interval to 1 to 4 seconds",
        "{} 在 {} 内没有关键帧；请将摄像机的 I 帧间隔设为 1 至 4 秒",
    ),
    (
        "{} broke off or did not speak RTSP: {said}",
        "{} 中断，或所用协议不是 RTSP：{}",
    ),
    (
        "{url} demands a login ({status}) and none is configured",
        "{} 要求登录（{}），但未配置账号",
    ),
    (
        "{url} refuses the user name or password ({status}); check the login",
        "{} 拒绝该用户名或密码（{}）；请检查登录信息",
    ),
    (
        "{url} has no such stream ({status}); check the path of the URL",
        "{} 没有该码流（{}）；请检查地址中的路径",
    ),
    (
        "{url} refuses RTP over {} (461); try the other transport",
        "{} 不支持通过 {} 传输 RTP（461）；请改用另一种传输方式",
    ),
    (
        "{url} has no room for another client ({status}); who else is connected?",
        "{} 的连接数已满（{}）；请检查还有谁在连接",
    ),
    (
        "{url} answered with something unusable: {said}",
        "{} 的应答无法使用：{}",
    ),
    ("{url} rejects the request: {said}", "{} 拒绝请求：{}"),
    (
        "the name {host} is not known ({error}); check the URL or DNS",
        "无法解析主机名 {}（{}）；请检查地址或 DNS",
    ),
    (
        "{url} refuses the connection; is RTSP on in the camera, on port {port}?",
        "{} 拒绝连接；请检查摄像机是否已在端口 {} 开启 RTSP",
    ),
    (
        "{url} cannot be reached ({error}); check the address and the network",
        "无法连接 {}（{}）；请检查地址和网络",
    ),
    (
        "{url} sends {}; set the camera to H.264 or H.265",
        "{} 发送的是 {}；请将摄像机设为 H.264 或 H.265",
    ),
    (
        "{url} offers no video; check the path of the URL",
        "{} 没有视频；请检查地址中的路径",
    ),
];

/// What the system and FFmpeg say, and the steps of writing a clip.
const CAUSES: &[(&str, &str)] = &[
    ("No space left on device (os error 28)", "磁盘空间已满"),
    ("No space left on device", "磁盘空间已满"),
    ("Read-only file system (os error 30)", "文件系统只读"),
    ("Read-only file system", "文件系统只读"),
    ("Permission denied (os error 13)", "权限不足"),
    ("Permission denied", "权限不足"),
    (
        "No such file or directory (os error 2)",
        "文件或文件夹不存在",
    ),
    ("No such file or directory", "文件或文件夹不存在"),
    ("Not a directory (os error 20)", "路径中有一部分不是文件夹"),
    ("Input/output error (os error 5)", "磁盘读写错误"),
    ("Input/output error", "读写错误"),
    ("I/O error", "读写错误"),
    ("Disk quota exceeded (os error 122)", "磁盘配额已用尽"),
    ("Invalid data found when processing input", "数据无效"),
    ("Invalid argument", "参数无效"),
    ("Connection refused (os error 111)", "连接被拒绝"),
    ("No route to host (os error 113)", "没有到主机的路由"),
    ("Network is unreachable (os error 101)", "网络不可达"),
    ("Host is unreachable (os error 113)", "主机不可达"),
    ("check the camera and the network", "请检查摄像机和网络"),
    (
        "check the camera and the network; a firewall may hold back RTP over UDP, then use transport = \"tcp\"",
        "请检查摄像机和网络；防火墙可能拦截 UDP，可改用 transport = \"tcp\"",
    ),
    ("opening", "打开"),
    ("laying out", "布局"),
    ("the header", "写文件头"),
    ("a picture", "写画面"),
    ("the index", "写索引"),
];

/// Files as people call them.
const FILES: &[(&str, &str, &str)] = &[
    (CLIP, "录像", "Clip"),
    (SNAPSHOT, "快照", "Snapshot"),
    (STROBE, "轨迹图", "Strobe picture"),
    (MANIFEST, "清单", "Manifest"),
];

/// Returns a reason as the reader is told it.
pub(crate) fn lack(language: Language, kept: &str) -> String {
    let parts = by_file(kept);
    let told = parts.into_iter().map(|(file, text)| {
        let told = match language {
            Language::Zh => chinese(text),
            Language::En => Cow::Borrowed(text),
        };
        match (file, language) {
            (None, _) => told.into_owned(),
            (Some((_, name, _)), Language::Zh) => format!("{name}：{told}"),
            (Some((_, _, name)), Language::En) => format!("{name}: {told}"),
        }
    });
    let between = match language {
        Language::Zh => "；",
        Language::En => "; ",
    };
    told.collect::<Vec<_>>().join(between)
}

type File = &'static (&'static str, &'static str, &'static str);

/// Splits `clip.mp4: …; strobe.jpg: …` into what is said of each file.
fn by_file(kept: &str) -> Vec<(Option<File>, &str)> {
    let begins = |at: usize| {
        let text = &kept[at..];
        let names = |file: &File| {
            let rest = text.strip_prefix(file.0)?;
            rest.strip_prefix(": ")
        };
        FILES.iter().find_map(|file| Some((file, names(&file)?)))
    };
    let Some((mut file, mut text)) = begins(0) else {
        return vec![(None, kept)];
    };
    let mut parts = Vec::new();
    let starts: Vec<usize> = kept.match_indices("; ").map(|(at, _)| at).collect();
    for at in starts {
        if let Some((next, rest)) = begins(at + 2) {
            let ends = text.len() - (kept.len() - at);
            parts.push((Some(file), &text[..ends]));
            (file, text) = (next, rest);
        }
    }
    parts.push((Some(file), text));
    parts
}

/// Returns a sentence and its causes in Chinese; from the first that is not known on as it stands.
fn chinese(text: &str) -> Cow<'_, str> {
    let known = LACKS.iter().chain(CAUSES);
    let found = known.filter_map(|(template, told)| {
        let (values, rest) = matched(template, text)?;
        (rest.is_empty() || rest.starts_with(": ")).then_some((told, values, rest))
    });
    // The longest: one sentence may begin as another does.
    let Some((told, values, rest)) = found.min_by_key(|(_, _, rest)| rest.len()) else {
        return Cow::Borrowed(text);
    };
    let mut filled = (*told).to_owned();
    for value in values {
        filled = filled.replacen("{}", &value_of(value), 1);
    }
    match rest.strip_prefix(": ") {
        Some(cause) => Cow::Owned(format!("{filled}：{}", chinese(cause))),
        None => Cow::Owned(filled),
    }
}

/// Returns a value as it is told: a step in Chinese, an address whole, of a path the last part.
fn value_of(value: &str) -> String {
    let step = CAUSES.iter().find(|(known, _)| *known == value);
    let value = step.map_or(value, |(_, told)| told);
    if value.contains("://") {
        return value.to_owned();
    }
    value.rsplit('/').next().unwrap_or(value).to_owned()
}

/// Returns what stands in the places of `template` at the beginning of `text`, and what follows; none
/// where the text does not begin so.
fn matched<'a>(template: &str, text: &'a str) -> Option<(Vec<&'a str>, &'a str)> {
    let pieces = pieces(template);
    let (first, others) = pieces.split_first()?;
    let mut rest = text.strip_prefix(first)?;
    let mut values = Vec::new();
    for piece in others {
        // A last place reaches to the next sentence, or to the end.
        let ends = match piece.is_empty() {
            true => Some(rest.find(": ").unwrap_or(rest.len())),
            false => rest.find(piece),
        };
        let value = &rest[..ends?];
        // Else a sentence that begins with a place would swallow the one before it.
        if rest.len() == text.len() && value.contains(": ") {
            return None;
        }
        values.push(value);
        rest = &rest[value.len() + piece.len()..];
    }
    Some((values, rest))
}

/// Returns what stands between the places of a template.
fn pieces(template: &str) -> Vec<&str> {
    let parts = template.split('{').enumerate();
    let parts = parts.map(|(index, part)| match (index, part.split_once('}')) {
        (0, _) | (_, None) => part,
        (_, Some((_, after))) => after,
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::evidence::{EvidenceError, reason_of};

    /// Where the program has its sentences, and what stands before each.
    const SOURCES: &[(&str, &[&str])] = &[
        ("evidence/mod.rs", &["#[error("]),
        ("evidence/clip.rs", &["#[error("]),
        ("evidence/write.rs", &["#[error("]),
        ("evidence/room.rs", &["format!("]),
        ("store/event.rs", &["NO_DISK: &str ="]),
        ("store/lifecycle.rs", &["EVIDENCE_LOST: &str ="]),
        ("store/replay.rs", &["ReplayEnd::Failed("]),
        ("pipeline/recorder.rs", &["missing("]),
        ("pipeline/retention.rs", &["why = format!("]),
        ("pipeline/bundles.rs", &["Made::Failed("]),
        ("pipeline/replayer.rs", &["return Err("]),
        ("pipeline/replay.rs", &["#[error("]),
        (
            "http/replays.rs",
            &["ReplayEnd::Failed(format!(", "ALTERED: &str ="],
        ),
        ("http/v1/replays.rs", &["let reason ="]),
        ("source/file.rs", &["#[error("]),
        ("source/rtsp.rs", &["format!("]),
        ("source/rtsp/failure.rs", &["format!("]),
        ("decode/ffmpeg.rs", &["#[error("]),
    ];

    /// Returns the literals that follow `before`, as the compiler reads them.
    fn sentences(source: &str, before: &str) -> Vec<String> {
        let code = source.split("#[cfg(test)]").next().expect("a part");
        let after = code.split(before).skip(1);
        let literals = after.filter_map(|text| text.trim_start().strip_prefix('"'));
        literals
            .map(|text| {
                let lines = text.lines();
                let mut sentence = String::new();
                for line in lines {
                    let line = if sentence.is_empty() {
                        line
                    } else {
                        line.trim_start()
                    };
                    if let Some(goes_on) = line.strip_suffix('\\') {
                        sentence.push_str(goes_on);
                        continue;
                    }
                    sentence.push_str(line.rsplit_once('"').map_or(line, |(told, _)| told));
                    break;
                }
                sentence
            })
            .collect()
    }

    #[test]
    fn each_reason_that_the_program_has_is_known_in_chinese() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        for (file, places) in SOURCES {
            let source = std::fs::read_to_string(src.join(file)).expect("it is there");
            for before in *places {
                let sentences = sentences(&source, before);
                assert!(!sentences.is_empty(), "{file} has no {before} any more");
                // A number with its unit is no sentence.
                found.extend(sentences.into_iter().filter(|text| text.len() > 5));
            }
        }
        for sentence in &found {
            let is_known = LACKS.iter().any(|(known, _)| known == sentence);
            assert!(is_known, "untold: {sentence}");
        }
        for (known, _) in LACKS {
            assert!(
                found.iter().any(|sentence| sentence == known),
                "nobody says: {known}"
            );
        }
    }

    #[test]
    fn each_is_chinese_and_has_its_places() {
        for (known, told) in LACKS.iter().chain(CAUSES) {
            assert!(told.chars().any(|c| c as u32 > 0x2E80), "{told}");
            assert_eq!(pieces(known).len(), pieces(told).len(), "{known}");
        }
    }

    #[test]
    fn files_sentences_values_and_causes_are_told_one_by_one() {
        let full = EvidenceError::Write {
            path: PathBuf::from("/srv/plumb/evidence/2026-01-31/x/clip.mp4"),
            source: std::io::Error::from_raw_os_error(28),
        };
        let kept = format!(
            "clip.mp4: {}; strobe.jpg: no decoded frame shows it; snapshot.jpg: the clip cannot be made: \
             none of the 17 packets at hand is a key picture to begin with",
            reason_of(&full)
        );
        assert_eq!(
            lack(Language::Zh, &kept),
            "录像：无法写入 clip.mp4；请检查磁盘是否已满或只读：磁盘空间已满；\
             轨迹图：没有解码到拍到它的画面；\
             快照：无法制作录像：现有的 17 个数据包中没有可作为开头的关键帧"
        );
        assert!(lack(Language::En, &kept).starts_with("Clip: /srv/plumb/"));
        let failed = "the clip cannot be made: the header of /a/b/clip.mp4.part failed; MP4 must hold \
                      the codec, and the disk must have room: Invalid argument";
        assert_eq!(
            lack(Language::Zh, failed),
            "无法制作录像：“写文件头”失败（clip.mp4.part）；MP4 须支持该编码，磁盘须有空间：参数无效"
        );
        let leapt =
            "the machine's clock leapt by +8760.0 h; the age of evidence is not counted by it";
        assert_eq!(
            lack(Language::Zh, leapt),
            "系统时钟跳变了 +8760.0 小时；证据的保存期限不受影响"
        );
        let lost =
            "no picture from rtsp://10.0.0.7:554/ch1 for 8 s; check the camera and the network";
        assert_eq!(
            lack(Language::Zh, lost),
            "rtsp://10.0.0.7:554/ch1 已 8 s 没有画面；请检查摄像机和网络"
        );
        let nameless = "the name gate.lan is not known (failed to lookup address information: Name or \
                        service not known); check the URL or DNS";
        assert!(lack(Language::Zh, nameless).starts_with("无法解析主机名 gate.lan（"));
        let unknown = "the clip cannot be made: something new";
        assert_eq!(lack(Language::Zh, unknown), "无法制作录像：something new");
        assert_eq!(lack(Language::Zh, "something new"), "something new");
        assert_eq!(lack(Language::Zh, ""), "");
    }
}
