//! What a switch sends that forks its calls to us, as coverage-guided targets; see `sip::fuzz`.

use super::{Metadata, Rule, multipart};

/// Whatever the parts of a body are, each lies within it, and no stream is given to both sides.
#[test]
fn fuzz_forked_body() {
    let rule =
        Rule { numbers: vec!["12345".into()], area_code: "0635".into(), seats: vec!["8???".into(), "*a*".into()] };
    bolero::check!().for_each(|body: &[u8]| {
        let Ok(parts) = multipart::parts("multipart/mixed;boundary=cut", body) else { return };
        assert!(parts.iter().map(|part| part.body.len()).sum::<usize>() <= body.len());
        let mut known = Metadata::default();
        for metadata in parts.iter().filter_map(|part| Metadata::parse(part.body).ok()) {
            known.update(metadata);
            rule.parties(&known);
            let labels: Vec<_> = known.streams.iter().map(|stream| Some(stream.label.as_str())).collect();
            let streams: Vec<_> = labels.into_iter().enumerate().collect();
            let sides = rule.sides(Some(&known), &streams, [Some(1), Some(0)]);
            assert!(sides[0].is_none() || sides[0] != sides[1], "{sides:?}");
            assert!(streams.is_empty() || sides != [None; 2], "something is recorded");
        }
    });
}
