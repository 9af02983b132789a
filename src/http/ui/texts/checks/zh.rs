//! A check's texts in Chinese.

use super::Texts;

pub(crate) const ZH: Texts = Texts {
    check: "立即全面检查",
    check_hint: "重新连接每台摄像机、加载模型，并向每个接收方发送一条测试消息，最长 20 秒。",
    check_done: "刚刚检查的结果",
    check_note: "可以工作，但应修改",
    config_line: "配置文件行号",
    data_dir: "数据目录",
    decoding: "视频解码",
    loaded: "已加载，摘要一致：{}；推理设备 {}，每个模型最多同时 {} 路",
    decodes: "{} 可用",
    writable: "可写，数据库完好",
    in_use: "正由本服务使用",
    picture: "{} {}x{}，已解码一帧画面",
    answered: "接收方已收下测试消息",
    models_bad: "模型不可用",
    decoding_bad: "硬件解码不可用",
    data_dir_bad: "数据目录不可用",
    unreachable: "无法连接摄像机",
    no_picture: "摄像机的码流无法解码",
    refused: "接收方未收下测试消息",
    late: "未及时应答",
};
