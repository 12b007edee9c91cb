use std::{net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::*;
use crate::{config, http::Certificate};

/// A certificate of a folder of its own, for 127.0.0.1.
fn certificate() -> Certificate {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = ([127, 0, 0, 1], 0).into();
    let made = Certificate::of(&config::Tls::SelfSigned, folder.path(), listen, Clock::system().now());
    made.expect("made").expect("TLS is wanted")
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    certificate.pair.end_entity_cert().expect("a certificate").clone().into_owned()
}

fn trusting(certificate: &Certificate) -> reqwest::Client {
    let root = reqwest::Certificate::from_der(&der(certificate)).expect("a certificate");
    let client = reqwest::Client::builder().tls_certs_only([root]).redirect(reqwest::redirect::Policy::none());
    client.timeout(Duration::from_mins(1)).build().expect("a client")
}

fn address(house: &House) -> SocketAddr {
    house.url.split("//").nth(1).expect("an address").parse().expect("an address")
}

#[tokio::test]
async fn the_line_speaks_https_with_its_own_certificate_for_its_address() {
    let certificate = certificate();
    let house = House::behind(Some(Tls::new(certificate.clone()).expect("TLS")), |_| {}).await;
    let answer = trusting(&certificate).get(format!("{}/healthz", house.url)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers()["strict-transport-security"].to_str().expect("text").starts_with("max-age="));

    let mut roots = RootCertStore::empty();
    roots.add(der(&certificate)).expect("a root");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address(&house)).await.expect("a connection");
    let name = address(&house).ip().into();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn the_cookie_of_a_log_in_over_tls_never_travels_in_the_clear() {
    let certificate = certificate();
    let house = House::behind(Some(Tls::new(certificate.clone()).expect("TLS")), |_| {}).await;
    let li = house.person(Role::Agent).await;
    let body = serde_json::json!({"name": li.name, "password": PASSWORD});
    let request = trusting(&certificate).post(format!("{}/api/v1/sessions", house.url)).json(&body);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::CREATED);
    let cookie = answer.headers()["set-cookie"].to_str().expect("text");
    assert!(cookie.split("; ").any(|attribute| attribute == "Secure"), "{cookie}");
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_led_to_https_but_not_with_a_token_in_the_clear() {
    let certificate = certificate();
    let house = House::behind(Some(Tls::new(certificate.clone()).expect("TLS")), |_| {}).await;
    let (client, plain) = (trusting(&certificate), house.url.replace("https", "http"));
    let led = client.get(format!("{plain}/docs/?a=b")).send().await.expect("an answer");
    assert_eq!(led.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(led.headers()["location"], format!("{}/docs/?a=b", house.url));
    let url = format!("{plain}/api/v1/calls");
    for request in [client.get(&url).bearer_auth("0".repeat(64)), client.post(&url)] {
        let refused = request.send().await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert!(refused.text().await.expect("text").contains("HTTPS"));
    }
}

/// Nothing; the first byte of a handshake; nonsense that begins like one.
async fn silent(house: &House) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for bytes in [&b""[..], &[22], &[22; 300]] {
        let mut stream = TcpStream::connect(address(house)).await.expect("a connection");
        stream.write_all(bytes).await.expect("sent");
        all.push(stream);
    }
    all
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_is_given_up() {
    let mut tls = Tls::new(certificate()).expect("TLS");
    tls.patience = Duration::from_millis(1);
    let house = House::behind(Some(tls), |_| {}).await;
    for mut stream in silent(&house).await {
        let ended = async {
            // Perhaps an alert, then the end.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        tokio::time::timeout(Duration::from_mins(1), ended).await.expect("the door closes it");
    }
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_waiting() {
    let certificate = certificate();
    let house = House::behind(Some(Tls::new(certificate.clone()).expect("TLS")), |_| {}).await;
    let _held = silent(&house).await;
    let answer = trusting(&certificate).get(format!("{}/healthz", house.url)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_the_next_connection() {
    let (old, new) = (certificate(), certificate());
    let tls = Tls::new(old.clone()).expect("TLS");
    let house = House::behind(Some(tls.clone()), |_| {}).await;
    let url = format!("{}/healthz", house.url);
    assert!(trusting(&old).get(&url).send().await.is_ok());
    tls.change(new.clone());
    assert!(trusting(&new).get(&url).send().await.is_ok());
    assert!(trusting(&old).get(&url).send().await.is_err(), "the old one is no longer shown");
}
