//! What a switch says about the call that it forks to us (`application/rs-metadata+xml`, RFC 7865). Pure.
//!
//! Of the document only what tells who speaks in which stream is kept. Switches differ in order, spelling and age of what
//! they write, so elements are known by their names and where they stand, whatever their namespace. Nothing is fetched, no
//! entity but XML's own five is known, and a document type is refused: it could hold others.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

/// Longest document, bytes; a SIP message is never longer.
const LONGEST: usize = 16 * 1024;
/// Elements inside each other.
const DEEPEST: usize = 16;
/// Elements in all.
const MOST_ELEMENTS: usize = 1_024;
/// Participants, streams and associations kept of each kind.
const MOST: usize = 32;
/// Longest text or attribute kept, bytes.
const LONGEST_TEXT: usize = 256;

/// What is known of a recorded session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Whether it says all, and not only what changed.
    pub complete: bool,
    /// Id of the session's SIP dialog at the switch, else the one that the switch gave it for the recording.
    pub session: Option<String>,
    pub participants: Vec<Participant>,
    pub streams: Vec<Stream>,
}

/// Somebody who speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Participant {
    pub id: String,
    /// Addresses, `sip:8001@pbx.example`.
    pub addresses: Vec<String>,
    /// Ids of the streams this one speaks in.
    pub sends: Vec<String>,
    /// Is no longer there.
    pub left: bool,
}

/// One stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    pub id: String,
    /// As in its m-line's `a=label`.
    pub label: String,
}

/// Why metadata cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMetadata {
    #[error(
        "the metadata are longer than {LONGEST} bytes, deeper than {DEEPEST} or more than {MOST_ELEMENTS} elements"
    )]
    TooLarge,
    #[error("the metadata are no UTF-8")]
    NotUtf8,
    #[error("the metadata are no well-formed XML")]
    NotXml,
    #[error("the metadata have a document type or entities of their own")]
    Entities,
    #[error("the metadata are no `recording` with a participant or a stream")]
    Nothing,
}

impl Metadata {
    /// Reads a document.
    pub fn parse(document: &[u8]) -> Result<Self, BadMetadata> {
        if document.len() > LONGEST {
            return Err(BadMetadata::TooLarge);
        }
        let text = std::str::from_utf8(document).map_err(|_| BadMetadata::NotUtf8)?;
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        reader.config_mut().expand_empty_elements = true;
        let mut scribe = Scribe::default();
        loop {
            match reader.read_event().map_err(|_| BadMetadata::NotXml)? {
                Event::Start(element) => scribe.open(&element)?,
                Event::End(_) => scribe.close(),
                Event::Text(text) => scribe.text(&text.decode().map_err(|_| BadMetadata::NotXml)?),
                Event::CData(text) => scribe.text(&text.decode().map_err(|_| BadMetadata::NotXml)?),
                Event::GeneralRef(name) => {
                    let letter = match name.resolve_char_ref().map_err(|_| BadMetadata::NotXml)? {
                        Some(letter) => letter,
                        None => known(&name.decode().map_err(|_| BadMetadata::NotXml)?).ok_or(BadMetadata::Entities)?,
                    };
                    scribe.text(letter.encode_utf8(&mut [0; 4]));
                }
                Event::DocType(_) => return Err(BadMetadata::Entities),
                Event::Eof => return scribe.done(),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    /// Takes an update: a complete one replaces everything, a partial one what it names.
    pub fn update(&mut self, new: Self) {
        if new.complete {
            *self = new;
            return;
        }
        if new.session.is_some() {
            self.session = new.session;
        }
        for participant in new.participants {
            match self.participants.iter().position(|it| it.id == participant.id) {
                Some(at) => self.participants[at].update(participant),
                None if self.participants.len() < MOST => self.participants.push(participant),
                None => {}
            }
        }
        for stream in new.streams {
            match self.streams.iter().position(|it| it.id == stream.id) {
                Some(at) => self.streams[at] = stream,
                None if self.streams.len() < MOST => self.streams.push(stream),
                None => {}
            }
        }
    }
}

impl Participant {
    /// What is not said stays as it was.
    fn update(&mut self, new: Self) {
        if !new.addresses.is_empty() {
            self.addresses = new.addresses;
        }
        if !new.sends.is_empty() {
            self.sends = new.sends;
        }
        self.left = new.left;
    }
}

/// XML's own entities.
fn known(name: &str) -> Option<char> {
    [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\'')]
        .iter()
        .find_map(|(known, letter)| (*known == name).then_some(*letter))
}

/// Writes down what the elements say.
#[derive(Default)]
struct Scribe {
    /// Names of the open elements, outermost first.
    path: Vec<String>,
    elements: usize,
    /// Id of the participant, stream or session whose elements are read.
    id: String,
    text: String,
    partial: bool,
    /// The switch's SIP session, and its own id of it.
    session: (Option<String>, Option<String>),
    found: Metadata,
}

impl Scribe {
    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), BadMetadata> {
        self.elements += 1;
        if self.path.len() == DEEPEST || self.elements > MOST_ELEMENTS {
            return Err(BadMetadata::TooLarge);
        }
        let name = String::from_utf8_lossy(element.local_name().as_ref()).to_ascii_lowercase();
        let outside = self.path.is_empty();
        if outside && (name != "recording" || self.elements > 1) {
            return Err(BadMetadata::Nothing);
        }
        self.path.push(name);
        self.text.clear();
        match self.place().as_slice() {
            ["recording", "participant" | "participantstreamassoc" | "participantsessionassoc"] => {
                // `id` is what drafts of the RFC said.
                self.id = attribute(element, &["participant_id", "id"])?;
                let associates = self.path.last().is_some_and(|name| name == "participantsessionassoc");
                if let Some(participant) = self.participant()
                    && associates
                {
                    participant.left = false;
                }
            }
            ["recording", "participant", "nameid"] => {
                let address = attribute(element, &["aor"])?;
                if let Some(participant) = self.participant()
                    && !address.is_empty()
                    && participant.addresses.len() < MOST
                {
                    participant.addresses.push(address);
                }
            }
            ["recording", "stream"] => self.id = attribute(element, &["stream_id", "id"])?,
            ["recording", "session"] => {
                let id = attribute(element, &["session_id", "id"])?;
                self.session.1.get_or_insert(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self) {
        let text = self.text.trim().to_owned();
        match self.place().as_slice() {
            ["recording", "datamode"] => self.partial = text.eq_ignore_ascii_case("partial"),
            ["recording", "session", "sipsessionid"] if !text.is_empty() => {
                let own = text.split(';').next().unwrap_or_default().trim().to_owned();
                self.session.0.get_or_insert(own);
            }
            ["recording", "stream", "label"] => {
                let (id, streams) = (self.id.clone(), &mut self.found.streams);
                if streams.len() < MOST {
                    streams.push(Stream { id, label: text });
                }
            }
            ["recording", "participant" | "participantstreamassoc", "send"] => {
                if let Some(participant) = self.participant()
                    && participant.sends.len() < MOST
                {
                    participant.sends.push(text);
                }
            }
            ["recording", "participantsessionassoc" | "participantstreamassoc", "disassociate-time"] => {
                let leaves = self.path[1] == "participantsessionassoc";
                if let Some(participant) = self.participant()
                    && leaves
                {
                    participant.left = true;
                }
            }
            _ => {}
        }
        self.path.pop();
        self.text.clear();
    }

    fn text(&mut self, text: &str) {
        let room = LONGEST_TEXT.saturating_sub(self.text.len());
        let end = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.text.push_str(&text[..end]);
    }

    fn place(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The one whose id was read last; associations may come before it is described.
    fn participant(&mut self) -> Option<&mut Participant> {
        let (id, all) = (&self.id, &mut self.found.participants);
        if id.is_empty() {
            return None;
        }
        if let Some(at) = all.iter().position(|it| it.id == *id) {
            return all.get_mut(at);
        }
        if all.len() == MOST {
            return None;
        }
        all.push(Participant { id: id.clone(), ..Participant::default() });
        all.last_mut()
    }

    fn done(self) -> Result<Metadata, BadMetadata> {
        if !self.path.is_empty() {
            return Err(BadMetadata::NotXml);
        }
        let Self { found, partial, session: (sip, own), .. } = self;
        let nothing = found.participants.is_empty() && found.streams.is_empty();
        if nothing && !partial {
            return Err(BadMetadata::Nothing);
        }
        Ok(Metadata { complete: !partial, session: sip.or(own).filter(|id| !id.is_empty()), ..found })
    }
}

/// The first of these attributes; empty if there is none.
fn attribute(element: &BytesStart<'_>, names: &[&str]) -> Result<String, BadMetadata> {
    for name in names {
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|_| BadMetadata::NotXml)?;
            if attribute.key.local_name().as_ref() == name.as_bytes() {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| BadMetadata::Entities)?;
                let value = value.trim();
                return Ok(if value.len() <= LONGEST_TEXT { value.to_owned() } else { String::new() });
            }
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RECORDING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
        <recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>complete</datamode>\
        <session session_id=\"s1==\"><sipSessionID>ab30317f;remote=f81d4fae</sipSessionID></session>\
        <participant participant_id=\"p1\"><nameID aor=\"sip:13800000000@sbc&amp;\"><name xml:lang=\"zh\">张</name></nameID></participant>\
        <participant participant_id=\"p2\"><nameID aor=\"sip:8001@pbx\"/><nameID aor=\"tel:8001\"></nameID></participant>\
        <stream stream_id=\"t1\" session_id=\"s1==\"><label> 96 </label></stream>\
        <stream stream_id=\"t2\" session_id=\"s1==\"><label>9&#55;</label></stream>\
        <participantsessionassoc participant_id=\"p1\" session_id=\"s1==\"><associate-time>2026</associate-time></participantsessionassoc>\
        <participantstreamassoc participant_id=\"p1\"><send>t1</send><recv>t2</recv></participantstreamassoc>\
        <participantstreamassoc participant_id=\"p2\"><send>t2</send><recv>t1</recv></participantstreamassoc></recording>";

    fn read(document: &str) -> Metadata {
        Metadata::parse(document.as_bytes()).expect("metadata")
    }

    fn wrap(inner: &str) -> String {
        format!("<recording>{inner}</recording>")
    }

    #[test]
    fn a_document_says_who_speaks_in_which_stream() {
        let found = read(RECORDING);
        assert_eq!((found.complete, found.session.as_deref()), (true, Some("ab30317f")));
        let [caller, seat] = found.participants.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (caller.addresses[0].as_str(), caller.sends.as_slice()),
            ("sip:13800000000@sbc&", &["t1".to_owned()][..])
        );
        assert_eq!((seat.addresses.len(), seat.sends.as_slice(), seat.left), (2, &["t2".to_owned()][..], false));
        assert_eq!(found.streams[1], Stream { id: "t2".into(), label: "97".into() });
    }

    #[test]
    fn prefixes_order_and_older_spellings_make_no_difference() {
        let prefixed = RECORDING.replace('<', "<r:").replace("<r:/", "</r:").replace("<r:?", "<?");
        assert_eq!(read(&prefixed), read(RECORDING));
        let older = read(
            "<recording><dataMode>Partial</dataMode><participant id='p' session='s'><send>t</send></participant>\
             <stream id='t'><label>1</label></stream></recording>",
        );
        assert!(!older.complete);
        assert_eq!((older.participants[0].sends[0].as_str(), older.streams[0].label.as_str()), ("t", "1"));
    }

    #[test]
    fn a_partial_update_changes_what_it_names_and_a_complete_one_everything() {
        let mut known = read(RECORDING);
        known.update(read(
            "<recording><datamode>partial</datamode>\
             <participantsessionassoc participant_id='p2'><disassociate-time>x</disassociate-time></participantsessionassoc>\
             <participant participant_id='p3'><nameID aor='sip:8002@pbx'/></participant>\
             <stream stream_id='t2'><label>98</label></stream>\
             <participantstreamassoc participant_id='p3'><send>t2</send></participantstreamassoc></recording>",
        ));
        let ids: Vec<_> = known.participants.iter().map(|it| (it.id.as_str(), it.left, it.addresses.len())).collect();
        assert_eq!(ids, [("p1", false, 1), ("p2", true, 2), ("p3", false, 1)]);
        assert_eq!((known.streams.len(), known.streams[1].label.as_str()), (2, "98"));
        assert_eq!(known.session.as_deref(), Some("ab30317f"));
        let complete = read(&wrap("<stream stream_id='t9'><label>1</label></stream>"));
        known.update(complete.clone());
        assert_eq!(known, complete);
    }

    #[test]
    fn what_is_no_metadata_is_refused_with_the_reason() {
        use BadMetadata as B;
        let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><recording><label>&b;</label></recording>";
        let deep = wrap(&"<a>".repeat(DEEPEST));
        let many = wrap(&"<a/>".repeat(MOST_ELEMENTS));
        let cases: Vec<(String, B)> = vec![
            (String::new(), B::Nothing),
            ("hello".into(), B::Nothing),
            ("<recording>".into(), B::NotXml),
            ("<recording></session>".into(), B::NotXml),
            (RECORDING.replacen("</label>", "", 1), B::NotXml),
            (wrap(""), B::Nothing),
            ("<record/>".into(), B::Nothing),
            ("<recording/><recording/>".into(), B::Nothing),
            (bomb.into(), B::Entities),
            (wrap("<session><sipSessionID>&file;</sipSessionID></session>"), B::Entities),
            (deep, B::TooLarge),
            (many, B::TooLarge),
            (wrap(&" ".repeat(LONGEST)), B::TooLarge),
        ];
        for (document, wanted) in cases {
            assert_eq!(Metadata::parse(document.as_bytes()), Err(wanted), "{document:.80}");
        }
        assert_eq!(Metadata::parse(b"<recording>\xff</recording>"), Err(B::NotUtf8));
    }

    #[test]
    fn a_crowd_is_cut_and_long_texts_too() {
        let crowd: Vec<_> = (0..200).map(|n| format!("<participant participant_id='p{n}'/>")).collect();
        assert_eq!(read(&wrap(&crowd.concat())).participants.len(), MOST);
        let long = "长".repeat(1_000);
        let found = read(&wrap(&format!("<stream stream_id='t'><label>{long}</label></stream>")));
        assert!(found.streams[0].label.len() <= LONGEST_TEXT);
    }

    proptest! {
        #[test]
        fn no_document_makes_it_fall_over(cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..10)) {
            let mut bytes = RECORDING.as_bytes().to_vec();
            for (index, byte, kind) in cuts {
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            if let Ok(mut found) = Metadata::parse(&bytes) {
                found.update(found.clone());
                prop_assert!(found.participants.len() <= MOST && found.streams.len() <= MOST);
            }
        }
    }
}
