//! The own account's texts in English.

use super::Texts;

pub(crate) const EN: Texts = Texts {
    account_own: "My account",
    code_title: "Second step",
    code_lead: "Type in the six digits that your authenticator app shows for Plumb.",
    code: "Code",
    code_go_on: "Go on",
    code_wrong: "Wrong code, or one that was used before, or the account is locked for a while. Wait for the next code.",
    code_other: "Without the phone: one of your recovery codes. Without these either: ask an administrator.",
    factor: "Second step at sign-in",
    factor_off: "Off: the password alone opens this account. With it on, signing in also asks for a code from an authenticator app on your phone.",
    factor_asked: "Your role asks for it. Nothing else can be opened until it is on.",
    factor_turn_on: "Turn on",
    factor_scan: "Scan this picture with an authenticator app.",
    factor_qr: "The secret as a QR code; it stands as text below",
    factor_type: "Or type the secret into the app:",
    factor_then: "Then type in the code that the app shows. It takes effect with that, and your other sessions end.",
    factor_confirm: "Confirm",
    factor_on: "On since",
    factor_turn_off: "Turn off",
    factor_column: "Second step",
    factor_yes: "on",
    factor_no: "off",
    factor_remove: "Remove second step",
    factor_remove_sure: "Remove the second step of {}? The password alone then opens the account. Do so only for the person themselves.",
    recovery: "Recovery codes",
    recovery_hint: "Each opens the account once, in the place of a code, when the phone is lost. Print them or write them down: they are not shown again.",
    recovery_left: "Recovery codes not used yet: {}",
    recovery_kept: "I have kept them",
    recovery_renew: "New recovery codes",
};
