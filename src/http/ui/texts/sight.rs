//! What pages say about what is hidden in pictures and clips.

texts!(
    masks_hidden,
    people_hidden,
    being_prepared,
    not_prepared,
    live_full,
    live_refused,
);

pub(crate) static ZH: Texts = Texts {
    masks_hidden: "场景遮罩区域在图片和录像中显示为黑色；原始记录不变。",
    people_hidden: "您的角色无权查看人员，电梯画面以马赛克显示；原始记录不变。",
    being_prepared: "录像正在做遮挡处理，完成后自动显示，通常不到半分钟。",
    not_prepared: "录像无法显示：",
    live_full: "实时转码名额已满，请稍后再试或先关闭其他实时画面",
    live_refused: "此摄像机无法显示实时视频",
};

pub(crate) static EN: Texts = Texts {
    masks_hidden: "The scene's masks are black in pictures and clip; the recording itself is as it was.",
    people_hidden: "Your role may not see people: the elevator is shown in blocks. The recording itself is as it was.",
    being_prepared: "The clip is being made ready: what nobody is to see is hidden in it. It appears by itself, mostly within half a minute.",
    not_prepared: "The clip cannot be shown:",
    live_full: "No encoder is free: try again later, or end another live picture",
    live_refused: "This camera cannot be shown live",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_empty_or_left_in_the_other_language() {
        super::super::check_languages(&ZH.all(), &EN.all());
    }
}
