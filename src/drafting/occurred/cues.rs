//! The words around a time that tell what it is the time of. Compared to the letter but for what the operator asks.

use std::sync::LazyLock;

use super::super::heard::Words;

type List = LazyLock<Vec<&'static str>>;

/// Words of time as they are written; a recogniser writes 月分, 左天, 零晨.
pub(super) static WRITTEN: LazyLock<Words> = LazyLock::new(|| {
    Words::spelling(
        "今天 昨天 前天 大前天 明天 后天 昨晚 今早 晚上 早上 早晨 上午 下午 中午 傍晚 凌晨 半夜 夜里 星期 礼拜 上周 上个月 这个月 \
         去年 今年 前年 月份 每天 天天 国庆节 国庆 春节 开始 以来 以后 最近 期间 打过电话 打电话 反映过 投诉过",
    )
});
/// The operator asks when.
pub(super) static ASKS: LazyLock<Words> = LazyLock::new(|| {
    Words::of(
        "什么时候 什么时间 多长时间 多久 几点 哪天 何时 时间段 多少天 几天了 几号 多少年 从哪天 哪个时间 时间 多会儿 啥时候 几个月",
    )
});
/// The operator asks when somebody may be called: the answer is no time of the matter.
pub(super) static ASKS_ELSE: LazyLock<Words> = LazyLock::new(|| Words::of("方便 有空 接听 回电 回复您 预约 联系您"));

/// Said of what is not the matter: payments, purchases, earlier complaints, moving in, promises, school.
pub(super) static BACKGROUND: List = LazyLock::new(|| {
    list(
        "交了 交的 交齐 交起 就交 已交 缴 办的 办了 办理 签的 签了 装修 入住 结婚 出生 毕业 打过 打了电话 \
     打电话 打的电话 反映过 反应过 投诉过 举报过 报过 报修过 说过 来过 找过 改造 入职 上班 退休 说好 \
     答应 承诺 通知 住进 搬 订的 上一年级 上1年级 上小学 上学 报名 高考 考试 放学 刚才说 来电话 到期 \
     营业 开门 休息 来看看 给他打 给你们打 派人 想问 想反映 体检",
    )
});
/// Said of what is still to come.
pub(super) static COMING: List =
    LazyLock::new(|| list("要来 准备 打算 才能 能不能 能来 会来 之前解决 什么时候 是不是 怎么办 再来"));
/// Said of what happened beside the matter: 前几天还摔了一个人.
pub(super) static BESIDE: List = LazyLock::new(|| list("还 差点 曾 险些"));
/// Said of what goes on since.
pub(super) static ONWARD: List = LazyLock::new(|| list("就 开始 一直 到现在 至今 起 以来 到今天"));
/// Begin what comes again; longer ones first.
pub(super) static COMES_AGAIN: List = LazyLock::new(|| {
    list("每天都是 每天到 每天 每日 天天 每晚上 每晚 每到 一到 每个周末 每周末 每逢 每个星期 每周 每个月 每年")
});
/// Before a length of time that lasts: 已经三天.
pub(super) static LASTING_BEFORE: List =
    LazyLock::new(|| list("已经 都 有 停了 坏了 断了 欠 拖 快 整整 连续 持续 等了 将近 差不多 大概 欠了"));
/// After a length of time that lasts: 三个月没发.
pub(super) static LASTING_AFTER: List =
    LazyLock::new(|| list("了 没 不 以来 都没 还没 就没 一直 也没 没人 无人 的工资 工资"));
/// Before the length of something else: 住了十年.
pub(super) static OWNED: List = LazyLock::new(|| list("住了 用了 干了 做了 买了 交了 签了 租了 结婚 上了 开了"));

fn list(words: &'static str) -> Vec<&'static str> {
    words.split_whitespace().collect()
}
