//! The surnames people have, and how they spell them out: 弓长张, 耳东陈.

use std::sync::LazyLock;

use super::super::{
    heard::Said,
    sound::{Reading, readings},
};

/// Cost up to which a syllable is the sound of a surname; rare readings of a character are within it (单, 解).
const SAME: f32 = 0.13;
/// Cost up to which a spelling heard nearby belongs to the surname.
const ALIKE: f32 = 0.3;
/// Sounds after the surname among which it is spelled out.
const SPELLING_REACH: usize = 9;

/// One-character surnames, the commonest of the country first; those of the west of Shandong are all there.
const SINGLE: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋于余杜叶程魏\
    苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常\
    傅康汤易乔赖文庞樊殷施洪翟安倪季牛温芦俞章鲁葛伍庄聂柴焦左岳祝齐辛管涂耿关詹纪欧游裴凌颜邢柳尤梅骆兰鲍卜阎\
    牟路娄谷申祁穆柯霍裘翁房单苗尚边盛柏裴靳解丛战车宫曲臧滕甄井庆商冷隋矫逄綦亓仝逯展国党栾荆桑米司鞠华项时费\
    成巩冀郎古代景桂佟卫符麻宁宗封晏池艾蓝阮闵冉敖屈卞仲瞿蒲窦迟初褚燕强位年栗粟厉蔺储屠毕连练简饶原查丰桑巴晁";
/// Surnames of two characters.
const DOUBLE: &str = "欧阳 司马 上官 诸葛 皇甫 尉迟 公孙 慕容 令狐 夏侯 司徒 东方 端木 轩辕";
/// How surnames are spelled out, and which it is.
const SPELLINGS: &str = "弓长张 木子李 十八子李 木易杨 耳东陈 立早章 双口吕 言午许 双人徐 双人余徐 口天吴 古月胡 草头黄 大肚黄 \
    三横王 三横一竖王 三画王 走肖赵 双木林 人可何 单人何 禾呈程 禾木程 千里董 草重董 草头董 人未余 人禾余 钩于 干勾于 文刀刘 \
    卯金刀刘 西早覃 西早谭 女字旁姜 美女姜 羊女姜 子小孙 木土杜 方向方 草头蒋 草将蒋 草头苏 草办苏 土口周 三点水江 三点水汪 \
    三点水潘 水工江 三横闫 门三闫 关耳郑 耳关郑 草头范 草头葛 草头薛 米田潘 丘耳邱 耳丘邱 山丘丘 马字旁冯 两点水冯 二马冯 \
    三点水沈 又寸邓 又耳邓 草田苗 木每梅 佳木崔 山佳崔 北田冀";

struct Surnames {
    /// Commonest first.
    single: Vec<(char, Reading)>,
    double: Vec<Vec<char>>,
    spellings: Vec<(Vec<Reading>, char)>,
}

static SURNAMES: LazyLock<Surnames> = LazyLock::new(|| {
    let mut single: Vec<(char, Reading)> = Vec::new();
    for character in SINGLE.chars() {
        if single.iter().all(|(known, _)| *known != character)
            && let Some(reading) = Reading::of(character)
        {
            single.push((character, reading));
        }
    }
    let spelled = |word: &str| {
        let surname = word.chars().last().filter(|last| single.iter().any(|(known, _)| known == last))?;
        Some((readings(word), surname))
    };
    let spellings = SPELLINGS.split_whitespace().filter_map(spelled).collect();
    Surnames { double: DOUBLE.split_whitespace().map(|word| word.chars().collect()).collect(), spellings, single }
});

/// A surname as it was heard.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Surname {
    pub name: String,
    /// Sounds it took.
    pub length: usize,
    /// Heard to the letter, not merely by sound.
    pub written: bool,
    /// Other surnames of the same sound, commonest first.
    pub rivals: Vec<char>,
}

/// The surname whose sound stands at a position.
pub(super) fn surname(said: &Said, at: usize) -> Option<Surname> {
    let known = &*SURNAMES;
    let here = said.sounds.get(at)?;
    let rest: Vec<char> = said.sounds[at..].iter().take(2).map(|sound| sound.character).collect();
    if known.double.contains(&rest) {
        return Some(Surname { name: rest.iter().collect(), length: 2, written: true, rivals: Vec::new() });
    }
    let mut alike: Vec<char> = known
        .single
        .iter()
        .filter(|(_, reading)| reading.cost(here.reading) <= SAME)
        .map(|(character, _)| *character)
        .collect();
    let written = known.single.iter().any(|(character, _)| *character == here.character);
    if written {
        alike.retain(|character| *character != here.character);
        alike.insert(0, here.character);
    }
    let name = alike.first()?.to_string();
    Some(Surname { name, length: 1, written, rivals: alike.split_off(1) })
}

/// Which surname is meant when it is spelled out soon after: 姓章，弓长张; 姓姜，生姜的姜.
///
/// * `from` — where to look from; a spelling of another sound belongs to somebody else.
/// * returns — the surname and where its spelling ends.
pub(super) fn spelled(said: &Said, from: usize, heard: Reading) -> Option<(char, usize)> {
    let known = &*SURNAMES;
    let until = (from + SPELLING_REACH).min(said.sounds.len());
    for start in from..until {
        let found = known.spellings.iter().find(|(sounds, surname)| {
            said.starts_with(start, sounds) && Reading::of(*surname).is_some_and(|own| own.cost(heard) <= ALIKE)
        });
        if let Some((sounds, surname)) = found {
            return Some((*surname, start + sounds.len()));
        }
        // 周到的周: two characters, 的, and the one of them that is the surname.
        if let Some([first, second, of, last]) = said.sounds.get(start..start + 4).and_then(|four| four.first_chunk())
            && of.character == '的'
            && [first.character, second.character].contains(&last.character)
            && last.reading.cost(heard) <= ALIKE
            && known.single.iter().any(|(surname, _)| *surname == last.character)
        {
            return Some((last.character, start + 4));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafting::tests::heard;

    fn first(words: &str) -> Option<Surname> {
        surname(&heard(&[words]).said[0], 0)
    }

    #[test]
    fn a_surname_is_known_by_its_sound_and_the_commonest_comes_first() {
        let li = first("力").expect("a surname sounds so");
        assert_eq!((li.name.as_str(), li.written, li.rivals.first()), ("李", false, Some(&'黎')));
        assert_eq!(first("欧阳").expect("two characters").length, 2);
        assert_eq!(first("章").expect("written").name, "章");
        assert_eq!(first("楼上").map(|surname| surname.name), Some("娄".into()));
        assert_eq!(first("电话"), None);
    }

    #[test]
    fn a_surname_that_is_spelled_out_is_the_spelled_one() {
        let zhang = Reading::of('章').expect("spoken");
        let spelled = |words: &str, reading| spelled(&heard(&[words]).said[0], 0, reading).map(|(surname, _)| surname);
        assert_eq!(spelled("弓长张", zhang), Some('张'));
        assert_eq!(spelled("公常张的张", zhang), Some('张'), "by sound");
        assert_eq!(spelled("木子李", zhang), None, "another sound");
        assert_eq!(spelled("文章的章", zhang), Some('章'));
    }
}
