//! The first frame in each direction: which protocol version, who answers, which cluster.

use kvorum_protocol::codec::DecodeError;
use kvorum_protocol::frame::{FrameDecoder, read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{Greeting, Hello, PROTOCOL_VERSION, RequestError, Welcome};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Expected;
use crate::error::ConnectError;
use crate::transport::{Stream, certificate};

/// The request id of a greeting.
const GREETING_ID: u64 = 0;

/// Says hello and checks the welcome. The decoder that comes back may hold bytes that arrived behind it.
pub(super) async fn exchange(
    stream: &mut Stream,
    hello: Hello,
    expected: &Expected,
) -> Result<(Welcome, FrameDecoder), ConnectError> {
    let mut frame = Vec::new();
    write_message(&mut frame, CLIENT_FRAME_BYTES, GREETING_ID, &Greeting::Hello(hello))
        .map_err(|_| ConnectError::NotFrames)?;
    let mut decoder = FrameDecoder::new(CLIENT_FRAME_BYTES);
    let said = match stream.writer.write_all(&frame).await {
        Ok(()) => stream.writer.flush().await,
        failed => failed,
    };
    if let Err(error) = said {
        // The node may have said why before it closed.
        let last = stream.reader.read_buf(decoder.buffer()).await.err();
        return Err(broken(last.unwrap_or(error)));
    }
    let body = loop {
        if let Some(body) = decoder.next_frame().map_err(|_| ConnectError::NotFrames)? {
            break body;
        }
        if stream.reader.read_buf(decoder.buffer()).await.map_err(broken)? == 0 {
            return Err(ConnectError::Greeting(io::ErrorKind::UnexpectedEof));
        }
    };
    let (_, greeting) =
        read_message(body).map_err(|bad| ConnectError::NotOurProtocol(bad.error))?;
    let welcome = check(greeting, expected)?;
    Ok((welcome, decoder))
}

fn broken(error: io::Error) -> ConnectError {
    certificate::in_io(&error).unwrap_or(ConnectError::Greeting(error.kind()))
}

fn check(greeting: Greeting, expected: &Expected) -> Result<Welcome, ConnectError> {
    let welcome = match greeting {
        Greeting::Welcome(welcome) => welcome,
        Greeting::Refused { error } => return Err(ConnectError::Refused(error)),
        Greeting::Hello(_) => return Err(ConnectError::NotOurProtocol(DecodeError::UnknownTag(1))),
    };
    if welcome.protocol != PROTOCOL_VERSION {
        let (min, max) = (welcome.protocol, welcome.protocol);
        return Err(ConnectError::Refused(RequestError::UnsupportedVersion { min, max }));
    }
    if expected.node.is_some_and(|node| node != welcome.node) {
        return Err(ConnectError::WrongNode(welcome.node));
    }
    if expected.cluster.as_deref().is_some_and(|cluster| cluster != welcome.cluster_name) {
        return Err(ConnectError::WrongCluster(welcome.cluster_name.into()));
    }
    Ok(welcome)
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::message::{Features, Greeting, Welcome};
    use kvorum_ring::NodeId;

    use super::check;
    use crate::connection::Expected;
    use crate::error::ConnectError;

    fn welcome(protocol: u16) -> Greeting {
        let (node, cluster_name) = (NodeId(7), "prod".to_owned());
        Greeting::Welcome(Welcome { protocol, features: Features::NONE, node, cluster_name })
    }

    #[test]
    fn only_the_expected_node_of_the_expected_cluster_is_talked_to() {
        let expected =
            |node, cluster: &str| Expected { node: Some(node), cluster: Some(cluster.into()) };
        assert!(check(welcome(1), &Expected::default()).is_ok());
        assert!(check(welcome(1), &expected(NodeId(7), "prod")).is_ok());
        let error = check(welcome(1), &expected(NodeId(8), "prod")).expect_err("another node");
        assert!(matches!(error, ConnectError::WrongNode(NodeId(7))));
        let error = check(welcome(1), &expected(NodeId(7), "test")).expect_err("another cluster");
        assert!(matches!(error, ConnectError::WrongCluster(_)));
        assert!(matches!(check(welcome(2), &Expected::default()), Err(ConnectError::Refused(_))));
    }
}
