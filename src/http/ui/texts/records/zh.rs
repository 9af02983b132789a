//! The texts of records in Chinese.

use super::Texts;

pub(crate) const ZH: Texts = Texts {
    hold: "保全证据",
    hold_title: "保全证据",
    hold_hint: "在解除保全之前，任何规则都不会删除它。",
    release: "解除保全",
    release_title: "解除证据保全",
    held: "已保全：不会被任何规则删除",
    reason: "理由",
    cancel: "取消",
    deleted: "证据已删除",
    deleted_age: "已超过证据保存期限。",
    deleted_room: "磁盘空间不足，它是最早的证据。",
};
