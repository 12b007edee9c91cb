//! A panic's message may hold what was being worked on: slicing a text wrongly prints the text.

use std::panic::{self, PanicHookInfo};

/// From now on a panic tells where it happened and nothing else.
pub(super) fn keep_words_out() {
    panic::set_hook(Box::new(|info| tracing::error!("{}", sentence(info))));
}

fn sentence(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    // Words that were in the program before it ran are safe.
    let words = info.payload().downcast_ref::<&'static str>().map(|words| format!(": {words}")).unwrap_or_default();
    format!("panic at {place}{words}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_panic_tells_where_and_not_what() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let (before, heard) = (panic::take_hook(), said.clone());
        panic::set_hook(Box::new(move |info| heard.lock().expect("free").push(sentence(info))));
        let words = String::from("光岳新村");
        let _ = panic::catch_unwind(|| words[1..].len());
        let _ = panic::catch_unwind(|| panic!("of the program's own words"));
        panic::set_hook(before);
        let said = said
            .lock()
            .expect("free")
            .iter()
            .filter(|it| it.contains("telemetry/panic.rs"))
            .cloned()
            .collect::<Vec<_>>();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(!said[0].contains('光') && said[1].contains("own words"), "{said:?}");
    }
}
