//! Why a scene cannot be saved, in Chinese.

use super::Texts;

pub(crate) const ZH: Texts = Texts {
    other_kind: "该场景不适用于类型为 {} 的摄像机",
    floors: "楼层数为 {}，应为 1 至 200",
    storey_height: "层高为 {} 米，应为 2 至 6 米",
    one_line: "只有一条楼层线无法确定比例：请至少画两条，或全部删除",
    line_floor: "{} 层不在 1 至 {}（屋顶边缘）之间",
    line_short: "右端点必须在左端点的右侧",
    line_twice: "{} 层已有楼层线",
    line_below: "{} 层画在了 {} 层的下方",
    lines_cross: "{} 层与 {} 层的楼层线相交",
    too_many: "数量 {} 超过上限 {}",
    outside: "点 [{}, {}] 在画面之外",
    few_corners: "{} 个顶点不能围成区域",
    corners: "需要 3 至 {} 个顶点，现有 {} 个",
    edges_cross: "顶点 {} 与顶点 {} 之后的边相交",
    no_area: "没有围成面积",
    changed_meanwhile: "打开本页后，场景已被他人修改。请重新加载页面，在新场景上绘制。",
    file_unwritable: "场景文件无法写入。请为服务授予写权限，或在摄像机配置中去掉 scene。",
    no_door: "只需绘制轿厢地面：以电动车所在位置判断是否进入轿厢，判断不使用电梯门。",
};
