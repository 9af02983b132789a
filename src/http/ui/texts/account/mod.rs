//! What the page of one's own account and the second factor say.

mod en;
mod zh;

pub(crate) use en::EN;
pub(crate) use zh::ZH;

texts!(
    account_own,
    // Signing in.
    code_title,
    code_lead,
    code,
    code_go_on,
    code_wrong,
    code_other,
    // The second factor.
    factor,
    factor_off,
    factor_asked,
    factor_turn_on,
    factor_scan,
    factor_qr,
    factor_type,
    factor_then,
    factor_confirm,
    factor_on,
    factor_turn_off,
    factor_column,
    token_over,
    factor_yes,
    factor_no,
    factor_remove,
    factor_remove_sure,
    // Recovery codes.
    recovery,
    recovery_hint,
    recovery_left,
    recovery_kept,
    recovery_renew,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_empty_or_left_in_the_other_language() {
        super::super::check_languages(&ZH.all(), &EN.all());
    }
}
