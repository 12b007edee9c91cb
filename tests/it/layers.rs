//! Which room may know which. A new arrow is an edit of this table, and is argued in review.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// `app` and `cli` know everybody and stand for nobody: no room may know them.
const KNOWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("config", &["domain"]),
    ("telemetry", &["config"]),
    ("lifecycle", &[]),
    ("drafting", &["domain"]),
    ("acd", &["config", "domain"]),
    ("switchboard", &["acd", "clock", "domain"]),
    ("tls", &[]),
    ("websocket", &[]),
    ("sip", &["clock", "domain", "telemetry", "tls", "websocket"]),
    ("vault", &["clock", "config", "domain"]),
    ("recording", &["clock", "config", "domain", "telemetry", "vault"]),
    ("media", &["clock", "domain", "recording"]),
    ("store", &["clock", "domain", "telemetry"]),
    ("audit", &["clock", "domain", "recording", "store", "vault"]),
    ("jobs", &["clock", "domain", "store"]),
    ("backup", &["audit", "cases", "clock", "config", "domain", "recording", "store", "vault"]),
    (
        "call",
        &[
            "acd",
            "clock",
            "config",
            "domain",
            "jobs",
            "lifecycle",
            "media",
            "recording",
            "sip",
            "store",
            "switchboard",
            "telemetry",
            "vault",
        ],
    ),
    ("speech", &["clock", "config", "domain", "jobs", "recording", "store", "telemetry"]),
    ("cases", &["clock", "domain", "drafting", "jobs", "recording", "store", "telemetry", "vault"]),
    ("users", &["clock", "config", "domain", "store", "telemetry", "vault"]),
    (
        "http",
        &[
            "acd",
            "cases",
            "clock",
            "config",
            "domain",
            "jobs",
            "recording",
            "store",
            "switchboard",
            "telemetry",
            "tls",
            "users",
            "vault",
            "websocket",
        ],
    ),
];

/// Free of files, sockets, SQL, tasks, clocks and logs.
const PURE: &[&str] = &["domain", "acd"];
const IMPURE_WORDS: &[&str] = &["std::fs", "std::net", "tokio::", "sqlx::", "tracing::", "async fn", "Instant::now"];

/// rsipstack stays behind the door of `sip`, sqlx behind `store`, whisper behind `speech`, axum behind `http`.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rsipstack::", &["sip"]),
    ("opentelemetry", &["telemetry"]),
    ("sqlx::", &["store"]),
    ("whisper_rs::", &["speech"]),
    ("axum::", &["http"]),
    ("hotline_gcm::", &["vault"]),
    ("ed25519_dalek::", &["vault"]),
    ("object_store::", &["recording"]),
    ("rtc_dtls::", &["media"]),
    ("rtc_stun::", &["media"]),
    // Announcements are read where they are said.
    ("hound::", &["recording", "media"]),
];

#[test]
fn layers_every_arrow_between_rooms_is_in_the_table() {
    let table: BTreeMap<_, _> = KNOWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (room, arrows) in arrows() {
        if room == "app" || room == "cli" {
            continue;
        }
        let Some(allowed) = table.get(room.as_str()) else {
            wrong.push(format!("room `{room}` is not in the table"));
            continue;
        };
        for known in arrows.iter().filter(|known| **known != room && !allowed.contains(&known.as_str())) {
            wrong.push(format!("`{room}` may not know `{known}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn layers_have_no_circle() {
    let table: BTreeMap<_, _> = KNOWS.iter().copied().collect();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    while placed.len() < table.len() {
        let next: Vec<_> = table
            .iter()
            .filter(|(room, known)| !placed.contains(*room) && known.iter().all(|known| placed.contains(known)))
            .map(|(room, _)| *room)
            .collect();
        let left: Vec<_> = table.keys().filter(|room| !placed.contains(*room)).collect();
        assert!(!next.is_empty(), "these rooms know each other in a circle: {left:?}");
        placed.extend(next);
    }
}

#[test]
fn layers_keep_the_pure_rooms_pure() {
    let mut wrong = Vec::new();
    for room in PURE {
        for file in files(&Path::new("src").join(room)) {
            let code = code(&file);
            for word in IMPURE_WORDS.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!("{} says `{word}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn layers_keep_each_engine_behind_its_door() {
    let mut wrong = Vec::new();
    for file in files(Path::new("src")) {
        let code = code(&file);
        let room = room_of(&file);
        for (word, homes) in ONLY_IN {
            if code.contains(word) && !homes.contains(&room.as_str()) && room != "cli" {
                wrong.push(format!("{} says `{word}`, which belongs to {homes:?}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// For each room the rooms its code names.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files(Path::new("src")) {
        let room = room_of(&file);
        if room == "lib" || room == "main" {
            continue;
        }
        arrows.entry(room).or_default().extend(rooms_named_in(&code(&file)));
    }
    arrows
}

/// `src/sip/sdp.rs` → `sip`, `src/clock.rs` → `clock`.
fn room_of(file: &Path) -> String {
    let inside = file.strip_prefix("src").expect("below src");
    let first = inside.components().next().expect("a file has a name");
    Path::new(first.as_os_str()).file_stem().expect("a name").to_string_lossy().into_owned()
}

/// The heads of all `crate::head…` and `crate::{head…, head…}`.
fn rooms_named_in(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            rooms.insert(head(rest));
            continue;
        };
        let (mut depth, mut item_start) = (0, true);
        for (index, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => item_start = true,
                letter if item_start && depth == 0 && !letter.is_whitespace() => {
                    rooms.insert(head(&group[index..]));
                    item_start = false;
                }
                _ => {}
            }
        }
    }
    rooms.retain(|room| Path::new("src").join(room).is_dir() || Path::new("src").join(format!("{room}.rs")).is_file());
    rooms
}

fn head(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// The file's lines without comments and without its tests, which may reach further.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source file is readable");
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Tests may reach further than the room they test.
fn is_test(file: &Path) -> bool {
    let named = |name: &str| name == "tests" || name == "testing" || name.ends_with("_tests");
    file.with_extension("").iter().any(|part| named(&part.to_string_lossy()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a source folder is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") && !is_test(&path) {
            found.push(path);
        }
    }
    found
}
