//! The own account's texts in Chinese.

use super::Texts;

pub(crate) const ZH: Texts = Texts {
    account_own: "我的账号",
    code_title: "两步验证",
    code_lead: "请输入手机验证器应用中 Plumb 显示的六位数字。",
    code: "验证码",
    code_go_on: "继续",
    code_wrong: "验证码错误或已用过，或账号暂时锁定。请等待下一个验证码。",
    code_other: "手机不在身边时，可输入一个恢复码；恢复码也没有时，请联系管理员。",
    factor: "两步验证",
    factor_off: "未开启：仅凭密码即可登录。开启后，登录时还需输入手机验证器应用显示的验证码。",
    factor_asked: "您的角色必须开启两步验证，开启之前不能使用其他页面。",
    factor_turn_on: "开启",
    factor_scan: "用验证器应用扫描此二维码。",
    factor_qr: "密钥的二维码，下方为同一密钥的文字",
    factor_type: "或在应用中手工输入密钥：",
    factor_then: "然后输入应用显示的验证码。验证通过后立即生效，您的其他会话随之结束。",
    factor_confirm: "确认",
    factor_on: "开启时间",
    factor_turn_off: "关闭",
    factor_column: "两步验证",
    factor_yes: "已开启",
    factor_no: "未开启",
    factor_remove: "解除两步验证",
    factor_remove_sure: "解除 {} 的两步验证？此后仅凭密码即可登录。请先核实是本人申请。",
    recovery: "恢复码",
    recovery_hint: "手机丢失时，每个恢复码可代替验证码使用一次。请打印或抄写保存：不会再次显示。",
    recovery_left: "未使用的恢复码：{}",
    recovery_kept: "我已保存",
    recovery_renew: "重新生成恢复码",
};
