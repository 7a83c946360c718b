//! `wss://`, over a real socket, with a certificate made here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use roomcast_client::protocol::SUBPROTOCOL;
use roomcast_client::rustls::ServerConfig;
use roomcast_client::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use roomcast_client::{Client, ConnectionState, ErrorKind, rustls};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// Serves TLS for `localhost`; gives its address and its certificate.
async fn gateway() -> (String, CertificateDer<'static>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/ws", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), stream));
        }
    });
    (url, certificate)
}

#[allow(clippy::result_large_err, reason = "the callback's type is the library's")]
async fn serve(acceptor: TlsAcceptor, stream: tokio::net::TcpStream) -> Option<()> {
    let upgrade = |_: &Request, mut response: Response| {
        response.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        Ok(response)
    };
    let stream = acceptor.accept(stream).await.ok()?;
    let mut socket = accept_hdr_async(stream, upgrade).await.ok()?;
    let now = "2024-01-15T10:30:00.000Z";
    let ack = json!({"type": "connection.ack", "timestamp": now, "payload": {
        "message": "Connected to WebSocket server", "timestamp": now, "connectionId": "c-1", "userId": "u-1",
        "protocol": SUBPROTOCOL, "expiresAt": now, "rooms": {}, "heartbeat": {"pingIntervalMs": 30000, "timeoutMs": 60000},
        "limits": {"messagesPerMinute": 100, "maxMessageBytes": 65536, "maxRooms": 128, "maxRoomsPerMessage": 128},
        "schema": {"version": "1.0.0", "hash": "h"},
    }});
    socket.send(Message::text(ack.to_string())).await.ok()?;
    while let Some(Ok(_)) = socket.next().await {}
    Some(())
}

async fn first_outcome(client: &Client) -> ConnectionState {
    let mut states = client.watch_state();
    let settled = states.wait_for(|state| !matches!(state, ConnectionState::Connecting));
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("nothing happens").unwrap().clone()
}

#[tokio::test]
async fn a_secure_gateway_whose_authority_is_trusted_is_connected_to() {
    let (url, certificate) = gateway().await;
    let client = Client::builder(&url).token("t").root_certificate(certificate).build().unwrap();
    let state = first_outcome(&client).await;
    assert!(state.is_open(), "{state:?}");
    client.close().await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (url, _) = gateway().await;
    let client = Client::builder(&url).token("t").build().unwrap();
    let ConnectionState::Reconnecting { error, .. } = first_outcome(&client).await else { panic!("connected") };
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("certificate"), "{error}");
}
