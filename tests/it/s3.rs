//! A real S3 server (`s3s` over a folder) in the test's own process; it can go away and come back.

use std::net::SocketAddr;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch};

pub const BUCKET: &str = "recordings";
pub const ACCESS_KEY: &str = "line";
pub const SECRET_KEY: &str = "hush";

/// Ends with the value.
pub struct Server {
    /// What the server keeps, as its own administrator sees it.
    pub folder: TempDir,
    address: SocketAddr,
    there: watch::Sender<bool>,
}

impl Server {
    /// A store with an empty bucket.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).expect("a folder"));
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let (there, state) = watch::channel(true);
        tokio::spawn(serve(listener, service.build(), state));
        Self { folder, address, there }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every connection breaks, and new ones do too.
    pub fn go_away(&self) {
        self.there.send_replace(false);
    }

    pub fn come_back(&self) {
        self.there.send_replace(true);
    }
}

async fn serve(listener: TcpListener, service: s3s::service::S3Service, state: watch::Receiver<bool>) {
    let mut over = state.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The server's owner is gone.
            () = async { while over.changed().await.is_ok() {} } => return,
        };
        let Ok((socket, _)) = accepted else { return };
        let (service, mut state) = (service.clone(), state.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service) => {}
                _ = state.wait_for(|there| !there) => {}
            }
        });
    }
}
