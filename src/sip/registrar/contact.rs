//! When two contacts are the same.

/// Whether this can be a contact to ring: `sip:` or `sips:`, something behind it, and nothing that could end a header.
pub fn is_sound(uri: &str) -> bool {
    let known = uri.split_once(':').is_some_and(|(scheme, rest)| {
        ["sip", "sips"].iter().any(|it| scheme.eq_ignore_ascii_case(it)) && !rest.is_empty()
    });
    known && !uri.contains(|it: char| it.is_control() || it.is_whitespace() || matches!(it, '<' | '>' | '"'))
}

/// Contacts with the same key are one.
///
/// Stricter than RFC 3261 §19.1.4: scheme, host and parameters may differ in case, parameters also in order, and
/// everything else counts, the parameters too that only one of them has. A telephone repeats its contact as it was,
/// and one it has changed runs out by itself.
pub fn key(uri: &str) -> String {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    // A user part may have semicolons of its own, so the host is looked for first.
    let (user, host) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
    let (host, parameters) = host.split_at(host.find(';').unwrap_or(host.len()));
    let mut parameters: Vec<String> = parameters.split(';').map(str::to_ascii_lowercase).collect();
    parameters.sort_unstable();
    format!("{}:{user}{}{}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase(), parameters.join(";"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_contact_may_be_written_otherwise() {
        let usual = key("sip:8001@192.0.2.7:5060;transport=tcp;line=a1");

        assert_eq!(key("SIP:8001@192.0.2.7:5060;Line=A1;transport=TCP"), usual);
        assert_eq!(key("sip:Desk.Example"), key("SIP:desk.example"));
    }

    #[test]
    fn other_contacts_are_others() {
        let all = [
            "sip:8001@192.0.2.7",
            "sips:8001@192.0.2.7",
            "sip:8002@192.0.2.7",
            "sip:8001@192.0.2.8",
            "sip:8001@192.0.2.7:5060",
            "sip:8001@192.0.2.7;transport=tcp",
            "sip:8001;transport=tcp@192.0.2.7",
            "sip:8001:@192.0.2.7",
            "sip:192.0.2.7",
            "sip:a@192.0.2.7",
            "sip:A@192.0.2.7",
            "sip:@192.0.2.7",
        ];

        let keys: std::collections::HashSet<String> = all.iter().map(|it| key(it)).collect();

        assert_eq!(keys.len(), all.len());
    }

    #[test]
    fn only_what_can_be_rung_and_written_is_sound() {
        for right in ["sip:8001@192.0.2.7", "SIPS:desk.example", "sip:8001@[2001:db8::7]:5060;ob"] {
            assert!(is_sound(right), "{right}");
        }
        for wrong in ["", "sip:", "8001", "tel:8001", "mailto:a@b", "sip:a@b\r\nX: y", "sip:a b", "sip:a>b", "sip:\"a"]
        {
            assert!(!is_sound(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_a_key_is_its_own(uri in any::<String>(), rest in "[a-z;@:=王]{0,20}") {
            let _ = (is_sound(&uri), key(&uri));
            let once = key(&format!("sip:{rest}"));
            prop_assert_eq!(key(&once), once);
        }
    }
}
