//! The words around a name that tell whose it is.

use std::sync::LazyLock;

use super::super::{heard::Words, sound::Reading};

/// Cost up to which a syllable is 姓 misheard: 信, 心, 新.
pub(super) const NEAR: f32 = 0.3;

/// Words that begin as 姓 or sound so, compared to the letter.
pub(super) const NO_SURNAME: [&str; 22] = [
    "姓什么",
    "姓啥",
    "姓氏",
    "姓名",
    "姓哪",
    "姓甚",
    "幸好",
    "行好",
    "行吗",
    "行吧",
    "性格",
    "性质",
    "性能",
    "兴趣",
    "行程",
    "心里",
    "心理",
    "信访",
    "新房",
    "形成",
    "行李",
    "星期",
];

/// Words that begin with a surname and are none, where a name alone would do: 方便 after 您贵姓，方便留个电话吗.
pub(super) const NO_NAME: [&str; 40] = [
    "方便", "马上", "白天", "单位", "高唐", "高新", "安全", "国庆", "关于", "任何", "万一", "曾经", "常年", "连着",
    "时间", "时候", "毛病", "和平", "温度", "路灯", "路上", "路边", "施工", "房子", "房东", "明白", "明天", "位置",
    "向", "边上", "古楼", "年", "成", "成了", "水", "车", "党员", "司机", "顾客", "全部",
];

/// Phrases around a name, compared by sound.
pub(super) struct Cues {
    pub family: Reading,
    pub honoured: Reading,
    pub mine: Words,
    pub humble: Words,
    pub called: Words,
    pub am: Words,
    pub fillers: Words,
    pub contact: Words,
    /// Given names end before these.
    pub ends: Words,
    /// What makes a surname a form of address, and what ends 叫我老王就行.
    pub titles: Words,
    pub polite: Words,
    /// Titles of people one talks about.
    pub offices: Words,
    /// 我叫 is followed by somebody who is sent for.
    pub fetched: Words,
    pub asks: Words,
    pub asks_number: Words,
    pub asks_spelling: Words,
    pub greets: Words,
    pub goes_on: Words,
    pub yes: Words,
    pub no: Words,
    pub others: Words,
}

pub(super) static CUES: LazyLock<Cues> = LazyLock::new(|| Cues {
    family: Reading::of('姓').expect("姓 is spoken"),
    honoured: Reading::of('贵').expect("贵 is spoken"),
    mine: Words::of("我 俺 咱 本人 我就 我是 我也 我这边 我这里 我本人 我自己 我的 俺是 俺这边 我呢 我啊"),
    humble: Words::of("免贵 免费 敝 鄙"),
    called: Words::of(
        "我叫 俺叫 我就叫 本人叫 我的名字叫 我的名字是 我名字叫 我名叫 我姓名 我的姓名是 我全名叫 名字叫",
    ),
    am: Words::of("我是 俺是 我叫 俺叫 叫我 喊我 称呼我 就叫我 是"),
    fillers: Words::of("嗯 呃 啊 哦 噢 那个 好的 好 行 可以 对 是 哎 唉 您好 你好 我 这个 就是"),
    contact: Words::of("电话 手机 号码 联系 我的 我电话 我手机 我家 我住 我是 我在 家住 住在 今年 身份证"),
    ends: Words::of(
        "电话 手机 号码 联系 我 俺 住 家 今年 身份 是 在 来 想 要 的 吧 啊 呀 哈 嗯 呃 就 先生 女士 小姐 同志 你 您 了 有 \
         这个 那个 请 谢谢 也 和 跟 反映 投诉 咨询 男 女 那 这 呢 姓",
    ),
    titles: Words::of("先生 女士 小姐 大姐 大哥 阿姨 大爷 大妈 大叔 大娘 叔叔 同志 就行 就可以 就好 吧"),
    polite: Words::of("先生 女士 小姐 大姐 大哥 阿姨 大爷 大妈 大叔 大娘 叔叔 同志 师傅 老师"),
    offices: Words::of(
        "师傅 大夫 医生 经理 老师 主任 书记 局长 科长 所长 队长 村长 会计 老板 律师 警官 同志 总 工 某 家 姓 庄 村 什么 啥",
    ),
    fetched: Words::of("来 去 给 帮 把 过来 过去 他 她 开 修 送 赔 退 处理 解决 也 不 们"),
    asks: Words::of(
        "您贵姓 你贵姓 请问贵姓 问贵姓 先生贵姓 女士贵姓 您姓什么 你姓什么 怎么称呼 如何称呼 称呼您 称呼一下 您叫什么 \
         你叫什么 您的姓名 你的姓名 您的名字 你的名字 您的姓 您姓名 您名字 您的全名 留个姓名 留一下姓名 留一下您的姓名 \
         提供一下姓名 报一下姓名 姓名和 您的称呼 您怎么称 尊姓 您是姓 请问您姓",
    ),
    asks_number: Words::of(
        "您的电话 您电话 联系电话 联系方式 您的号码 电话就是 电话是多少 您的联系 留一下电话 留个电话 留一下您的",
    ),
    asks_spelling: Words::of("哪个 怎么写 什么字 哪一个 弓长 立早 是哪 吗 吧"),
    greets: Words::of("好的 您好 你好 嗯 喂 请问是 请问您是 您是 是 谢谢 感谢 再见 那 哦 行 好"),
    goes_on: Words::of(
        "您 你 请 吗 是吗 是吧 对吧 好 这边 我 感谢 谢谢 非常 再见 稍等 麻烦 不好意思 打扰 还有 那 这里",
    ),
    yes: Words::of("对 是 是的 嗯 哎 没错 我是 我就是 你好 您好 好 有 唉"),
    no: Words::of("不是 不对 错了 不姓 我不 打错 不叫"),
    others: Words::of(
        "他 她 对方 老板 邻居 经理 物业 师傅 司机 房东 老师 医生 人 工头 那个人 有个 一个 只知道 不知道 听说 好像",
    ),
});
