//! Throws away what the model only invented. Whisper answers noise with captions, credits and loops, sure of itself;
//! the voice detector in front stops most of it, these rules stop the rest.

/// Why a text is not what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Nothing but marks or brackets.
    Empty,
    /// What film captions and video channels say.
    Boilerplate,
    /// The prompt came back.
    Echo,
    /// The same words over and over.
    Loop,
    /// More characters than a mouth can say.
    TooFast,
    /// The model itself does not believe it.
    Unsure,
    /// Below the noise of a line.
    TooQuiet,
}

/// One decoded utterance before it is believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    /// Tidied.
    pub(super) text: &'a str,
    /// What the model was primed with.
    pub(super) prompt: &'a str,
    /// Seconds of speech.
    pub(super) seconds: f32,
    /// Mean token probability, 0 to 1.
    pub(super) confidence: f32,
    /// Loudest 100 ms, root mean square, decibels below full scale.
    pub(super) level_db: f32,
}

/// Sentences nobody says on a telephone line; wherever one stands, its sentence goes.
const NEVER_SAID: [&str; 24] = [
    "请不吝点赞",
    "点赞订阅",
    "订阅转发",
    "打赏支持",
    "明镜与点点",
    "字幕志愿者",
    "字幕制作",
    "字幕提供",
    "字幕组",
    "中文字幕",
    "字幕由",
    "字幕:",
    "字幕：",
    "索兰娅",
    "谢谢观看",
    "感谢观看",
    "谢谢收看",
    "谢谢大家观看",
    "感谢您的观看",
    "优优独播剧场",
    "独播剧场",
    "Amara",
    "amara",
    "MING PAO",
];
/// Credits: invented when they are all there is.
const CREDITS: [&str; 10] =
    ["字幕", "作词", "作曲", "编曲", "词曲", "李宗盛", "杨茜茜", "下期再见", "下集再见", "未经许可"];
/// A text with a credit and at most this many characters is nothing but the credit.
const CREDIT_LENGTH: usize = 14;
/// Fast Chinese is about 8 characters a second; digits of a number read out fast reach 10.
const FASTEST: f32 = 12.0;
/// Not counted against [`FASTEST`]: the detector may have cut a syllable or two.
const ALLOWANCE: f32 = 6.0;
/// Below this mean probability even clear telephone speech is only guessed.
const LEAST_CONFIDENCE: f32 = 0.25;
/// A G.711 line's own noise lies around -60 dB; the quietest speakers peak above -50 dB.
const QUIETEST_DB: f32 = -55.0;
/// As many characters of the prompt in a row are no coincidence.
const ECHO_LENGTH: usize = 8;

/// A sentence this long that comes twice in a row was decoded twice; nothing is lost if it was said twice.
const SAID_TWICE: usize = 8;

/// Takes out what cannot have been said.
///
/// * returns — what remains of the text, or why nothing does.
pub(super) fn believe(claim: Claim<'_>) -> Result<String, Doubt> {
    if claim.level_db < QUIETEST_DB {
        return Err(Doubt::TooQuiet);
    }
    if claim.confidence < LEAST_CONFIDENCE {
        return Err(Doubt::Unsure);
    }
    let text = without_captions(claim.text);
    if letters(&text).is_empty() {
        return Err(if text == claim.text { Doubt::Empty } else { Doubt::Boilerplate });
    }
    let text = said_once(&without_loops(&text).ok_or(Doubt::Loop)?);
    let spoken = letters(&text);
    if spoken.len() <= CREDIT_LENGTH && CREDITS.iter().any(|credit| text.contains(credit)) {
        return Err(Doubt::Boilerplate);
    }
    if echoes(&spoken, &letters(claim.prompt)) {
        return Err(Doubt::Echo);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred characters")]
    let count = spoken.len() as f32;
    if count > FASTEST * claim.seconds + ALLOWANCE {
        return Err(Doubt::TooFast);
    }
    Ok(text)
}

/// Characters that are spoken: no marks, no spaces.
fn letters(text: &str) -> Vec<char> {
    text.chars().filter(|letter| letter.is_alphanumeric()).collect()
}

/// Removes bracketed captions and sentences nobody says.
fn without_captions(text: &str) -> String {
    let mut spoken = String::with_capacity(text.len());
    let mut depth = 0_u32;
    for letter in text.chars() {
        match letter {
            '(' | '（' | '[' | '【' | '《' | '〈' | '*' if letter != '*' => depth += 1,
            ')' | '）' | ']' | '】' | '》' | '〉' => depth = depth.saturating_sub(1),
            '♪' | '♫' | '*' => {}
            _ if depth == 0 => spoken.push(letter),
            _ => {}
        }
    }
    let sentences = spoken.split_inclusive(['。', '！', '？']);
    sentences.filter(|sentence| !NEVER_SAID.iter().any(|never| sentence.contains(never))).collect()
}

/// Shortens small repetitions nobody would miss; `None` when the text is mostly a loop.
fn without_loops(text: &str) -> Option<String> {
    let mut letters: Vec<char> = text.chars().collect();
    let whole = letters.len();
    let mut looped = 0;
    for size in 1..=16 {
        // People do say 对对对对; they do not say it nine times.
        let most = if size == 1 { 8 } else { 3 };
        let mut at = 0;
        while at + size * 2 <= letters.len() {
            let times = 1 + letters[at + size..]
                .chunks_exact(size)
                .take_while(|chunk| **chunk == letters[at..at + size])
                .count();
            if times > most && letters[at..at + size].iter().any(|letter| letter.is_alphabetic()) {
                looped += (times - 1) * size;
                letters.drain(at + size..at + times * size);
            }
            at += 1;
        }
    }
    (looped * 2 < whole).then(|| letters.into_iter().collect())
}

/// Drops a long sentence that only repeats the one before it.
fn said_once(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for sentence in text.split_inclusive(['。', '！', '？']) {
        let spoken = letters(sentence);
        let again = kept.last().is_some_and(|last| letters(last) == spoken);
        if !(again && spoken.len() >= SAID_TWICE) {
            kept.push(sentence);
        }
    }
    kept.concat()
}

/// Whether the text is a piece of the prompt or holds a long piece of it.
fn echoes(spoken: &[char], prompt: &[char]) -> bool {
    if spoken.len() >= 4 && prompt.windows(spoken.len()).any(|window| window == spoken) {
        return true;
    }
    prompt.windows(ECHO_LENGTH).any(|piece| spoken.windows(ECHO_LENGTH).any(|window| window == piece))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROMPT: &str = "以下是普通话的市民来电，使用简体中文。";

    fn claim(text: &str) -> Claim<'_> {
        Claim { text, prompt: PROMPT, seconds: 6.0, confidence: 0.8, level_db: -25.0 }
    }

    #[test]
    fn what_people_say_stays_as_it_is() {
        for text in [
            "你好，我是东昌府区光岳新村的，我们三号楼停水了。",
            "对对对，就是那里，对。",
            "幺三八零六三五二二幺九。",
            "110110110，打了三次。",
            "谢谢，再见。",
            "我们小区的电视字幕一直是乱码，打电话给有线电视也没有人管。",
        ] {
            assert_eq!(believe(claim(text)).as_deref(), Ok(text));
        }
    }

    #[test]
    fn captions_credits_and_loops_go() {
        for (text, doubt) in [
            ("（字幕：某某某）", Doubt::Boilerplate),
            ("请不吝点赞 订阅 转发 打赏支持明镜与点点栏目", Doubt::Boilerplate),
            ("谢谢观看。", Doubt::Boilerplate),
            ("作词：李宗盛", Doubt::Boilerplate),
            ("以下是普通话的市民来电。", Doubt::Echo),
            ("使用简体中文。", Doubt::Echo),
            ("我们的我们的我们的我们的我们的我们的", Doubt::Loop),
            ("啊啊啊啊啊啊啊啊啊啊啊啊", Doubt::Loop),
            ("……", Doubt::Empty),
            ("", Doubt::Empty),
        ] {
            assert_eq!(believe(claim(text)), Err(doubt), "{text}");
        }
    }

    #[test]
    fn a_sentence_decoded_twice_is_kept_once() {
        let twice = "可以我姓张电话是15600000000。可以我姓张电话是15600000000。";
        assert_eq!(believe(claim(twice)).as_deref(), Ok("可以我姓张电话是15600000000。"));
        assert_eq!(believe(claim("停水了。停水了。")).as_deref(), Ok("停水了。停水了。"), "people do say it twice");
    }

    #[test]
    fn a_true_sentence_survives_an_invented_neighbour() {
        assert_eq!(believe(claim("路灯坏了。谢谢观看。")).as_deref(), Ok("路灯坏了。"));
    }

    #[test]
    fn too_much_too_unsure_and_too_quiet_go() {
        let text = "我们小区的路灯已经坏了一个多星期了，麻烦你们派人来修一下吧。";
        assert_eq!(believe(Claim { seconds: 0.5, ..claim(text) }), Err(Doubt::TooFast));
        assert_eq!(believe(Claim { confidence: 0.1, ..claim(text) }), Err(Doubt::Unsure));
        assert_eq!(believe(Claim { level_db: -70.0, ..claim(text) }), Err(Doubt::TooQuiet));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}", repeated in "\\PC{0,5}", times in 0_usize..60) {
            let text = format!("{text}{}", repeated.repeat(times));
            let _ = believe(claim(&text));
        }
    }
}
