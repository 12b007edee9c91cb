//! A small OpenTelemetry collector: takes OTLP over HTTP and reads the spans with a reader of its own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};

/// A collector on a port of its own; it ends with the test.
#[derive(Clone)]
pub struct Collector {
    pub address: SocketAddr,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

/// One span, as far as tests look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub name: String,
    pub trace: Vec<u8>,
    pub id: Vec<u8>,
    pub parent: Vec<u8>,
    pub attributes: BTreeMap<String, String>,
    /// Of the process that sent it.
    pub resource: BTreeMap<String, String>,
}

impl Collector {
    pub async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener)
    }

    pub fn on(listener: tokio::net::TcpListener) -> Self {
        let collector = Self { address: listener.local_addr().expect("an address"), bodies: Arc::default() };
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        collector
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that came, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).concat()
    }

    pub fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        bodies.iter().flat_map(|body| spans(body)).collect()
    }
}

async fn take(
    State(collector): State<Collector>,
    headers: HeaderMap,
    body: Bytes,
) -> [(&'static str, &'static str); 1] {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    collector.bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    [("content-type", "application/x-protobuf")]
}

/// Source: opentelemetry-proto, `ExportTraceServiceRequest`.
fn spans(request: &[u8]) -> Vec<Span> {
    let mut all = Vec::new();
    for group in each(request, 1) {
        let resource =
            each(group, 1).into_iter().flat_map(|resource| attributes(resource, 1)).collect::<BTreeMap<_, _>>();
        for span in each(group, 2).into_iter().flat_map(|scope| each(scope, 2)) {
            let bytes = |field: u64| each(span, field).first().map(|it| it.to_vec()).unwrap_or_default();
            assert_eq!(each(span, 11).len(), 0, "spans hold no events");
            all.push(Span {
                name: text(&bytes(5)),
                trace: bytes(1),
                id: bytes(2),
                parent: bytes(4),
                attributes: attributes(span, 9),
                resource: resource.clone(),
            });
        }
    }
    all
}

fn attributes(message: &[u8], field: u64) -> BTreeMap<String, String> {
    let pair = |pair: &[u8]| {
        let key = each(pair, 1).first().map(|key| text(key)).unwrap_or_default();
        let value = each(pair, 2).first().map(|value| {
            let words = each(value, 1).first().map(|words| text(words));
            words.or_else(|| numbers(value, 3).first().map(u64::to_string)).unwrap_or_default()
        });
        (key, value.unwrap_or_default())
    };
    each(message, field).into_iter().map(pair).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text is UTF-8")
}

/// All values of a field that are bytes. Source: Protocol Buffers encoding, wire types 0, 1, 2, 5.
fn each(message: &[u8], wanted: u64) -> Vec<&[u8]> {
    fields(message).into_iter().filter_map(|(field, value)| value.ok().filter(|_| field == wanted)).collect()
}

fn numbers(message: &[u8], wanted: u64) -> Vec<u64> {
    fields(message).into_iter().filter_map(|(field, value)| value.err().filter(|_| field == wanted)).collect()
}

/// Field and bytes, or its number.
fn fields(mut rest: &[u8]) -> Vec<(u64, Result<&[u8], u64>)> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let value = match key & 7 {
            0 => Err(varint(&mut rest)),
            1 => Err(u64::from_le_bytes(take_bytes(&mut rest, 8).try_into().expect("eight bytes"))),
            2 => {
                let length = usize::try_from(varint(&mut rest)).expect("a length");
                Ok(take_bytes(&mut rest, length))
            }
            5 => Err(u64::from(u32::from_le_bytes(take_bytes(&mut rest, 4).try_into().expect("four bytes")))),
            other => panic!("no such wire type: {other}"),
        };
        all.push((key >> 3, value));
    }
    all
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_bytes(rest, 1)[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take_bytes<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}
