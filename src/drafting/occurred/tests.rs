//! Stories of when it happened.

use proptest::prelude::*;

use super::*;
use crate::drafting::tests::{heard, talk};

/// Wednesday, 25 November 2026, 10:00 in the city.
const NOW: UnixMs = UnixMs(1_795_572_000_000);

fn when(words: &str) -> Option<String> {
    find(&heard(&[words]), NOW, false).value.map(|occurred| occurred.text)
}

fn answered(question: &str, answer: &str) -> Option<String> {
    let talk = talk(&[(Channel::Caller, "楼下太吵了"), (Channel::Operator, question), (Channel::Caller, answer)]);
    find(&talk, NOW, false).value.map(|occurred| occurred.text)
}

/// First and last minute, local.
fn span(words: &str) -> Option<(String, String)> {
    let occurred = find(&heard(&[words]), NOW, false).value?;
    let minute = |ms: i64| local(UnixMs(ms)).strftime("%m-%d %H:%M").to_string();
    Some((minute(occurred.from?), minute(occurred.to?)))
}

#[test]
fn the_callers_words_for_when_it_happened_are_kept() {
    for (expected, words) in [
        ("昨天晚上八点", "我们三号楼从昨天晚上八点就停水了，到现在还没有来水。"),
        ("昨天晚上八点", "我们三号楼从左天晚上八点就停水了"),
        ("昨晚8点多", "昨晚8点多突然没电了"),
        ("上周三", "上周三路灯就不亮了,一直没人修"),
        ("从十月份开始", "从十月份开始工地半夜施工"),
        ("前天", "前天有人往河里倒污水"),
        ("国庆节期间", "国庆节期间我在景区买的门票不给退"),
        ("今天早上", "今天早上家里暖气就凉了"),
        ("三个月", "老板三个月没发工资了"),
        ("每天晚上十点以后", "工地每天晚上十点以后还在施工"),
        ("6月份到9月份", "从6月分到9月分的公司一直没有发"),
        ("上个月", "上个月突然关门了，老板的电话也打不通"),
        ("四五天", "门口的垃圾桶已经四五天没有人来清运了"),
        ("昨天下午", "昨天下午我母亲在街道迷路了"),
        ("昨天晚上", "昨天晚上刮大风，电线杆歪了"),
        ("半个月", "电梯坏了半个月了没人修"),
        ("去年冬天开始", "去年冬天开始暖气就不热"),
        ("昨儿晚上", "昨儿晚上俺村又停电了"),
        ("11月20号", "11月20号在超市买的牛奶是过期的"),
        ("今早六点", "今早六点水管就爆了"),
        ("天天早上", "天天早上有人放音响"),
    ] {
        assert_eq!(when(words).as_deref(), Some(expected), "{words}");
    }
}

#[test]
fn the_answer_to_when_counts_more_than_other_times() {
    assert_eq!(answered("一般是什么时间段？", "早上7点到9点最严重。").as_deref(), Some("早上7点到9点"));
    assert_eq!(answered("从什么时候开始的？", "有三天了").as_deref(), Some("三天"));
    assert_eq!(answered("这种情况有多长时间了？", "快半年了，我去年就反映过").as_deref(), Some("半年"));
    assert_eq!(answered("一般几点？", "晚上").as_deref(), Some("晚上"));
    assert_eq!(answered("您什么时候方便接电话？", "下午三点以后"), None);
}

#[test]
fn how_long_and_how_often_are_told_together() {
    let talk = talk(&[
        (Channel::Caller, "对面的工地,每天晚上十一点以后还在打桩"),
        (Channel::Operator, "这种情况有多长时间了。"),
        (Channel::Caller, "有一个多星期了，孩子马上要考试"),
    ]);
    let field = find(&talk, NOW, false);
    assert_eq!(field.value.map(|occurred| occurred.text).as_deref(), Some("一个多星期，每天晚上十一点以后"));
    assert_eq!(field.evidence.len(), 2);
}

#[test]
fn times_of_other_things_are_not_taken() {
    for words in [
        "交了10月份就交起了，给热力公司打过两次电话",
        "户口在关线，孩子今年9月份上1年级",
        "我们小区前年做了老旧小区改造",
        "明天要下雨，路上全是坑",
        "家里有80多岁的老人",
        "热线24小时都打不通",
        "一个月三千块钱工资",
        "我在这里住了十年了，从来没见过",
        "还剩8个月没有用呢",
        "三号楼二单元的下水道堵了",
        "请快一点来修",
        "物业说三天之内来修",
        "他说明天上午来",
        "电话是幺五一零零六三五五一二",
        "最近的医院也要走半个小时",
        "什么时候能来水",
        "13800001111",
        "一年级的孩子",
        "暖气什么时候停，是三月十五号吗？",
    ] {
        assert_eq!(when(words), None, "{words}");
    }
    let asks = |words: &str| find(&heard(&[words]), NOW, true).value;
    assert_eq!(asks("我今年九月份退休，养老金怎么算"), None);
}

#[test]
fn words_become_a_span_of_the_citys_calendar() {
    let pair = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
    assert_eq!(span("昨天晚上八点停的水"), pair("11-24 20:00", "11-24 20:00"));
    assert_eq!(span("从昨天晚上八点就停水了"), pair("11-24 20:00", "11-25 10:00"), "it lasts");
    assert_eq!(span("上周三有人砍树"), pair("11-18 00:00", "11-18 23:59"));
    assert_eq!(span("从十月份开始施工"), pair("10-01 00:00", "11-25 10:00"));
    assert_eq!(span("前天有人倒污水"), pair("11-23 00:00", "11-23 23:59"));
    assert_eq!(span("国庆节期间饭店乱收费"), pair("10-01 00:00", "10-07 23:59"));
    assert_eq!(span("今天早上有人倒垃圾"), pair("11-25 05:00", "11-25 09:59"));
    assert_eq!(span("三个月没发工资了"), pair("08-25 00:00", "11-25 10:00"));
    assert_eq!(span("从6月份到9月份的工资一直没有发"), pair("06-01 00:00", "09-30 23:59"));
    assert_eq!(span("昨天晚上十二点还在打桩"), pair("11-25 00:00", "11-25 00:00"));
    assert_eq!(span("上个星期掉了一大块"), pair("11-16 00:00", "11-22 23:59"));
    assert_eq!(span("每天晚上十点以后还在施工"), None, "it comes again");
    assert_eq!(span("今年路就坏了").map(|(_, to)| to).as_deref(), Some("11-25 10:00"), "not after the call");
    assert_eq!(span("今天晚上八点停的水"), None, "that is still to come");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_span_ends_before_it_begins_or_after_the_call(
        words in "(从|自|)(昨天|前天|大前天|今天|上周[一二三四五六日]|上个月|这个月|周[一二三四五六日]|[一二三四五六七八九十]月份|1?[0-9]月[1-3]?[0-9]号|去年|今年|国庆|三天前|半年前|2025年[1-9]月|昨晚|)(凌晨|早上|上午|中午|下午|傍晚|晚上|半夜|)([1-9]点|1[0-9]点半|[一二三四五六七八九十]点多|20:15|)(到|至|)(今天|昨天|[一二三四五六七八九]月份|下午[一二三四五]点|)(就|开始|以来|左右|)停水了(，有三天了|，两个月没人管|)",
        started in -2_000_000_000_000_i64..4_000_000_000_000,
    ) {
        let field = find(&heard(&[&words]), UnixMs(started), false);
        for occurred in field.value.iter().chain(field.alternatives.iter().map(|other| &other.value)) {
            prop_assert_eq!(occurred.from.is_some(), occurred.to.is_some());
            if let (Some(from), Some(to)) = (occurred.from, occurred.to) {
                prop_assert!(from <= to, "{}: {} to {}", words, from, to);
                prop_assert!(to <= started, "{}: {} after the call", words, to - started);
            }
            prop_assert!(occurred.text.chars().count() <= 2 * LONGEST + 1);
        }
    }
}

#[test]
fn times_at_the_end_of_representable_time_are_no_reason_to_panic() {
    for at in [i64::MIN, i64::MAX, 0] {
        for words in ["昨天晚上十二点就停水了", "三百年没人修", "上个月底", "从去年十月份开始", "明天晚上停电"]
        {
            let _ = find(&heard(&[words]), UnixMs(at), false);
        }
    }
}
