//! Stories of names.

use super::*;
use crate::drafting::tests::{heard, talk};

fn name(words: &str) -> Option<String> {
    find(&heard(&[words])).value
}

fn answered(question: &str, answer: &str) -> Option<String> {
    find(&talk(&[(Channel::Operator, question), (Channel::Caller, answer)])).value
}

#[test]
fn what_the_caller_says_of_himself_is_his_name() {
    for (expected, words) in [
        ("张", "可以我姓张电话是15663507892。"),
        ("李", "幺三九，六三五八，零零二六，我姓李。"),
        ("王", "你好,我姓王,我家停水了"),
        ("孙", "俺姓孙，是茌平的"),
        ("周", "我这边姓周，电话就是这个"),
        ("赵", "免贵姓赵，电话13800001111"),
        ("陈", "免贵姓陈,耳东陈"),
        ("李明", "我叫李明，住在光岳新村"),
        ("王建国", "你好我叫王建国我要反映个事"),
        ("赵一曼", "我的名字叫赵一曼"),
        ("欧阳", "我姓欧阳，电话还是这个"),
        ("吴", "我姓5，电话13963580026"),
        ("于", "我姓于，电话13963580026"),
        ("刘", "电话是13963580026，姓刘"),
        ("刘", "电话13963580026姓刘"),
        ("王", "我姓王，叫什么就不说了"),
        ("马", "我是马女士，电话还是这个"),
        ("刘志强", "你好我是刘庄村的刘志强，我们村停水两天了"),
    ] {
        assert_eq!(name(words).as_deref(), Some(expected), "{words}");
    }
}

#[test]
fn a_surname_misheard_is_found_where_one_is_due() {
    assert_eq!(name("1939635820026565性力。").as_deref(), Some("李"));
    assert_eq!(name("我姓流，电话15663507892").as_deref(), Some("刘"));
    assert_eq!(name("我信李，电话15663507892").as_deref(), Some("李"));
    assert_eq!(answered("好的您贵信电话是多少？", "眼归性流电话要82635-90133").as_deref(), Some("刘"));
    let field = find(&heard(&["我姓力。"]));
    assert_eq!(field.alternatives.first().map(|other| other.value.as_str()), Some("黎"));
    assert!(field.confidence < 0.65);
}

#[test]
fn the_answer_to_the_operators_question_needs_no_more_words() {
    for (expected, question, answer) in [
        ("刘", "请问您贵姓？", "姓刘。"),
        ("刘", "请问您贵姓？", "刘。"),
        ("张", "您怎么称呼？", "嗯，姓张。"),
        ("王", "请问怎么称呼您？", "叫我老王就行"),
        ("张伟", "您的姓名和电话是？", "张伟，电话13800001111"),
        ("胡", "电话就是这个吗？", "对对，姓胡，古月胡。"),
        ("王晓燕", "您贵姓？", "我也姓王啊，王晓燕。"),
        ("李", "您贵姓？", "我姓性李，木子李。"),
        ("王建国", "请问您叫什么名字？", "我是王建国，光岳新村的"),
        ("李秀英", "请问您贵姓?", "我叫李秀英,"),
        ("周", "您贵姓，方便留个电话吗？", "我姓周，电话是幺三八，零零零零，幺幺幺幺"),
        ("陈", "请问您贵姓？", "姓程，耳东陈"),
        ("章", "请问您贵姓？", "我姓张，立早章。"),
    ] {
        assert_eq!(answered(question, answer).as_deref(), Some(expected), "{question} {answer}");
    }
}

#[test]
fn a_surname_is_spelled_out_when_the_operator_asks_which() {
    let talk = talk(&[
        (Channel::Operator, "您贵姓？"),
        (Channel::Caller, "免贵姓姜。"),
        (Channel::Operator, "哪个姜？"),
        (Channel::Caller, "江水的江。"),
    ]);
    assert_eq!(find(&talk).value.as_deref(), Some("江"));
}

#[test]
fn nobody_elses_name_is_taken() {
    for words in [
        "只知道姓赵是个小伙子，还给老人买了水",
        "一共16万多，包公投信王，他说公司没有给他钱",
        "包工头姓王，他说公司没有给他钱",
        "物业经理姓张，电话打不通",
        "那个老板姓刘，叫刘强",
        "我邻居姓陈，天天养狗",
        "我们老百姓张口就说这个事",
        "我叫物业来看过了",
        "我叫王师傅来修的，没有修好",
        "我叫他们来了好几次",
        "我心里特别难受",
        "我新房漏水",
        "我信访局也去过了",
        "我行李丢了",
        "我对象叫王芳",
        "我不想说我姓什么",
        "我是高唐县的，路坏了",
        "我是一中的高中生，食堂太难吃",
        "我是东昌府区光岳新村的业主，停水了",
        "大家都知道老王家养猪",
        "工作人员姓李，态度不好",
    ] {
        assert_eq!(name(words), None, "{words}");
    }
    assert_eq!(answered("您知道是哪位工作人员吗？", "只知道姓赵，是个小伙子"), None);
    assert_eq!(answered("施工单位的负责人姓什么？", "姓王，叫王强"), None);
    assert_eq!(answered("这个经理叫什么名字？", "王海涛"), None);
    assert_eq!(answered("健身房叫什么名字？", "叫金动力健身，在二楼"), None);
    assert_eq!(answered("饭店叫什么名字？", "叫张记烧烤"), None);
    assert_eq!(answered("请问您贵姓？", "不用了，就用这个号码"), None);
    assert_eq!(answered("请问您贵姓？", "好，那行吧"), None);
    assert_eq!(answered("请问您贵姓？", "这个我不方便说"), None);
    assert_eq!(answered("您贵姓，方便留个电话吗？", "方便。"), None);
    assert_eq!(answered("您贵姓，住哪里？", "于集镇，你记一下"), None);
}

#[test]
fn the_operators_form_of_address_is_weaker_and_may_be_refused() {
    let called = |words: &str, answer: &str| {
        find(&talk(&[(Channel::Caller, "停水了"), (Channel::Operator, words), (Channel::Caller, answer)]))
    };
    let field = called("好的王女士，您的问题已经记下了", "好的谢谢");
    assert_eq!((field.value.as_deref(), field.evidence[0].channel), (Some("王"), Channel::Operator));
    assert!(field.confidence < 0.7);
    assert_eq!(called("请问您是张先生吗？", "对，是我").value.as_deref(), Some("张"));
    assert_eq!(called("您姓马是吧？", "对").value.as_deref(), Some("马"));
    assert_eq!(called("请问您是张先生吗？", "不是，你打错了").value, None);
    assert_eq!(called("好的王女士，您稍等", "我不姓王").value, None);
    assert_eq!(called("李主任会给您回电话", "好的").value, None);
    assert_eq!(called("这个要找王女士的儿子办", "好的").value, None);
}
