//! The words around a place that tell what it is, and the words that only sound like one.

use super::heard::Phrases;

/// Phrases just before or after a place, compared by sound.
#[derive(Clone, Debug)]
pub(super) struct Cues {
    pub place_before: Phrases,
    pub place_after: Phrases,
    pub not_place_after: Phrases,
    pub not_place_before: Phrases,
    pub road_after: Phrases,
    pub home_before: Phrases,
    pub landmark_before: Phrases,
    pub destination_before: Phrases,
    /// Ends like 到 and leads nowhere: a misheard 街道, 来到.
    pub not_destination: Phrases,
    pub landmark_after: Phrases,
    pub household_before: Phrases,
    pub taken_back: Phrases,
    pub rather: Phrases,
    pub not_before: Phrases,
    pub question_before: Phrases,
    pub elsewhere: Phrases,
    pub yes: Phrases,
}

impl Cues {
    pub fn new() -> Self {
        Self {
            place_before: Phrases::of(
                "在 住 到 去 从 我是 就是 这是 这里是 这边是 我们 咱们 咱 地址 地址是 位于 来自 \
                 投诉一下 反映一下 举报一下 说一下 那个 嗯 呃 不是 对是 错了是 应该是 离 挨着 过了 \
                 路过 属于 归 地点是 位置是 我家是 老家 往 地方是",
            ),
            place_after: Phrases::of(
                "这边 那边 这里 那里 这儿 那儿 这个地方 那个地方 这一片 这块 附近 对面 旁边 的居民 \
                 居民 的村民 的业主 的住户 的人 村民 那个路口 路口 吧 啊 里面 往东 往西 往南 往北 \
                 东边 西边 南边 北边 离 就在 做生意 境内 辖区 不是 不对 政府 上班 打工 的一个 那条 \
                 这条 南门 北门 东门 西门 有个 有人 有一 听清",
            ),
            not_place_after: Phrases::of(
                "牌 企业 公司 的补贴 补贴 战略 开发 人说 银行 超市 酒店 饭店 计划 政策 工程 有限",
            ),
            not_place_before: Phrases::of("乡村 民族 产业 经济 文化 老 建设 建 买的 喝的"),
            road_after: Phrases::of("路 大街 大道 高速 路口"),
            home_before: Phrases::of(
                "住 住在 家在 家住 家是 我在 地址是 地址在 位于 我是 我们是 我们 这里是 这边是 发生在 \
                 地点在 地点是 不对是 错了是 应该是 而是 就是 是 投诉一下 反映一下 位置在 位置是",
            ),
            landmark_before: Phrases::of(
                "离 距离 距 靠近 挨着 紧挨着 紧邻 临近 路过 经过 过了 就在 对面是 旁边是 隔壁是 对着 \
                 附近是 挨着的是 背后是 后面是 前面是 从",
            ),
            destination_before: Phrases::of("去 到 往 通往 开往 通向 至 前往"),
            not_destination: Phrases::of("街道 来到 回到 搬到 找到 遇到 看到 听到"),
            landmark_after: Phrases::of(
                "不远 对面 旁边 附近 隔壁 那个路口 的公交 方向 斜对 往东 往西 往南 往北 后面 前面 \
                 东边 西边 南边 北边 东侧 西侧 南侧 北侧 很近 挨着",
            ),
            household_before: Phrases::of(
                "户口在 户口是 户籍在 户籍是 户籍地 户口本是 户口本在 户口落在 户口还在 户口都在 老家在 \
                 老家是 籍贯是 籍贯 身份证是 身份证上是 学籍在",
            ),
            taken_back: Phrases::of("不对 哦不 噢不 啊不 不不 错了 说错 口误 更正 记错 搞错 弄错 讲错 纠正"),
            rather: Phrases::of("不是 应该是 而是"),
            not_before: Phrases::of("不是 并不是 不在 不是在 而不是 不是住"),
            question_before: Phrases::of("是不是 是不是在 在不在"),
            elsewhere: Phrases::of(ELSEWHERE),
            yes: Phrases::of("对 是 嗯 没错 好"),
        }
    }
}

/// Cities and provinces outside: what follows them directly is theirs (济南高新区).
pub(super) const ELSEWHERE: &str = "北京 北京市 上海 上海市 天津 天津市 重庆 重庆市 济南 济南市 青岛 青岛市 淄博 淄博市 \
    枣庄市 东营 东营市 烟台 烟台市 潍坊 潍坊市 济宁 济宁市 泰安 泰安市 威海 威海市 日照市 \
    临沂 临沂市 德州 德州市 滨州 滨州市 菏泽 菏泽市 邯郸 邯郸市 邢台 邢台市 石家庄 郑州 \
    郑州市 濮阳 濮阳市 安阳 安阳市 南京 南京市 杭州 杭州市 苏州 广州 广州市 深圳 深圳市 成都 \
    武汉 西安 西安市 沈阳 大连 哈尔滨 长春 合肥 太原 河北 河北省 河南 河南省 江苏 江苏省 \
    浙江 广东";

/// Short place names that are words as well, and words that sound like a short place name.
pub(super) const ORDINARY: &str = "振兴 人和 新城 新区 清泉 东城 北城 凤凰 九州 大桥 安乐 崇文 康庄 新华 青年 开发 任何 \
    预计 雨季 管线 光线 干线 呼吸 增加 正价 糖衣 演示 掩饰 延时 岩石 颜色 鼓楼 六元 留言 \
    兴趣 真心 阵型 心法 信访 新房 温差 重温 安装 六零 神州 身体 造成 完成 古韵 收账 手掌 \
    首张 安了 同城 统称 通称 形成 行程 心诚 留级 六级 灰心 回信 会心 印记 阴极 引起 清贫 \
    顾客 被称 假证 驾证 神仙 深陷 身陷 持平 高糖 高堂 高汤 东啊 管理 关系 关心 家长 加长 \
    清评 情况 请假 欠条 刘记 有机 遇急 全部 公平 广告 广播 还急";
