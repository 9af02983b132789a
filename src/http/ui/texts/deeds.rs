//! What pages call the actions of the audit log and the events of a webhook. Programs know them by their
//! words, which stand beside.

use crate::http::ui::language::Language;

/// Each word, in Chinese and in English.
const DEEDS: &[(&str, &str, &str)] = &[
    ("account.added", "添加账号", "Account added"),
    ("account.disabled", "停用账号", "Account disabled"),
    ("account.enabled", "启用账号", "Account enabled"),
    ("account.named", "修改显示姓名", "Display name changed"),
    ("account.password", "修改密码", "Password changed"),
    ("account.roles", "修改角色", "Roles changed"),
    ("alarm.acknowledged", "确认报警", "Alarm acknowledged"),
    ("alarm.assigned", "指派报警", "Alarm assigned"),
    ("alarm.closed", "关闭报警", "Alarm closed"),
    ("alarm.ended", "报警结束", "Alarm ended"),
    ("alarm.escalated", "升级通知", "Alarm escalated"),
    ("alarm.evidence", "证据就绪", "Evidence gathered"),
    ("alarm.held", "保全证据", "Evidence held"),
    ("alarm.noted", "添加备注", "Note added"),
    ("alarm.raised", "触发报警", "Alarm raised"),
    ("alarm.released", "解除保全", "Evidence released"),
    ("alarm.reviewed", "查阅报警", "Alarm reviewed"),
    ("alarm.unshelved", "恢复通知", "Alarm announced again"),
    (
        "audit.chained",
        "更换日志摘要或签名",
        "Log's digest or key changed",
    ),
    ("board.seen", "看板查看图片", "Picture seen on a board"),
    ("delivery.requeued", "重新推送", "Message sent again"),
    ("endpoint.disabled", "停用接收方", "Receiver switched off"),
    ("endpoint.enabled", "启用接收方", "Receiver switched on"),
    ("endpoint.removed", "移除接收方", "Receiver removed"),
    ("events.pruned", "清理旧变更记录", "Old changes removed"),
    ("evidence.deleted", "删除证据", "Evidence deleted"),
    ("evidence.seen", "查看证据", "Evidence seen"),
    ("export.approved", "批准导出", "Export approved"),
    ("export.asked", "申请导出", "Export asked for"),
    ("export.downloaded", "下载导出包", "Export downloaded"),
    ("export.expired", "导出过期", "Export expired"),
    ("export.failed", "导出失败", "Export failed"),
    ("export.made", "生成导出包", "Export made"),
    ("export.refused", "拒绝导出", "Export refused"),
    ("footage.pruned", "清理录像", "Footage removed"),
    ("footage.seen", "查看录像", "Footage seen"),
    ("live.seen", "查看实时视频", "Live video seen"),
    ("picture.seen", "查看画面", "Picture seen"),
    ("policy.changed", "策略变更", "Policy changed"),
    ("policy.found", "记录策略", "Policy found"),
    ("replay.begun", "开始回放核验", "Replay begun"),
    ("replay.ended", "回放核验结束", "Replay ended"),
    ("route.asked", "访问被拒绝", "Access refused"),
    ("scene.changed", "修改场景", "Scene changed"),
    ("scene.found", "发现新场景文件", "New scene file found"),
    (
        "second_factor.added",
        "开启两步验证",
        "Second factor turned on",
    ),
    ("second_factor.begun", "准备两步验证", "Second factor begun"),
    (
        "second_factor.recovery_renewed",
        "更换恢复码",
        "Recovery codes renewed",
    ),
    (
        "second_factor.removed",
        "移除两步验证",
        "Second factor removed",
    ),
    ("service.checked", "全面检查", "Service checked"),
    ("session.begun", "登录", "Signed in"),
    ("session.ended", "退出登录", "Signed out"),
    (
        "session.password_shown",
        "密码通过，待验证码",
        "Password given, code awaited",
    ),
    ("shelf.begun", "开始搁置", "Shelved"),
    ("shelf.ended", "结束搁置", "Shelf ended"),
    ("token.added", "添加令牌", "Token added"),
    ("token.revoked", "吊销令牌", "Token revoked"),
];

/// Returns what the reader calls a deed; empty where it is not known.
pub(crate) fn deed(language: Language, word: &str) -> &'static str {
    let found = DEEDS.iter().find(|(known, _, _)| *known == word);
    found.map_or("", |(_, zh, en)| match language {
        Language::Zh => zh,
        Language::En => en,
    })
}

/// Returns all words, each with what the reader calls it.
pub(crate) fn deeds(language: Language) -> impl Iterator<Item = (&'static str, &'static str)> {
    let words = DEEDS.iter().map(|(word, _, _)| *word);
    words.map(move |word| (word, deed(language, word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EventKind;

    #[test]
    fn each_deed_has_a_text_in_both_languages() {
        let of = |one: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
            let texts = DEEDS.iter().map(move |deed| (deed.0, one(deed)));
            texts.collect::<Vec<_>>()
        };
        super::super::check_languages(&of(|deed| deed.1), &of(|deed| deed.2));
        assert!(DEEDS.is_sorted_by_key(|deed| deed.0));
        for kind in [EventKind::AlarmRaised, EventKind::AlarmUnshelved] {
            assert!(!deed(Language::En, kind.as_str()).is_empty());
        }
        assert_eq!(deed(Language::Zh, "plumb.test"), "");
    }
}
