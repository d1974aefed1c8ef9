//! A client over plaintext TCP.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use kvorum_protocol::codec::Tagged;
use kvorum_protocol::frame::{FrameDecoder, read_message, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{
    Get, GetDone, Greeting, Hello, Nothing, Put, Replacing, RequestOptions, StatusDone,
};
use kvorum_protocol::{AccessToken, Key, OperationId, Request, RequestError, Response};

use crate::nodes::PATIENCE;

/// A client as small as can be.
pub(crate) struct Client {
    stream: TcpStream,
    decoder: FrameDecoder,
    asked: u64,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Client> {
        match Client::greet(address, Hello::current())? {
            Ok(client) => Ok(client),
            Err(refused) => panic!("a welcome, not {refused}"),
        }
    }

    /// Connects with an access token, or says why it was refused.
    pub(crate) fn with_token(
        address: SocketAddr,
        token: &AccessToken,
    ) -> io::Result<Result<Client, RequestError>> {
        Client::greet(address, Hello::current().with_token(token))
    }

    fn greet(address: SocketAddr, hello: Hello) -> io::Result<Result<Client, RequestError>> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut client =
            Client { stream, decoder: FrameDecoder::new(CLIENT_FRAME_BYTES), asked: 0 };
        client.send(0, &Greeting::Hello(hello))?;
        match read_message::<Greeting>(client.frame()?) {
            Ok((_, Greeting::Welcome(_))) => Ok(Ok(client)),
            Ok((_, Greeting::Refused { error })) => Ok(Err(error)),
            other => panic!("an answer to a hello, not {other:?}"),
        }
    }

    fn send<M: Tagged>(&mut self, request_id: u64, message: &M) -> io::Result<()> {
        let mut out = Vec::new();
        write_message(&mut out, CLIENT_FRAME_BYTES, request_id, message).unwrap();
        self.stream.write_all(&out)
    }

    fn frame(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Ok(frame);
            }
            let mut some = [0; 4_096];
            let count = self.stream.read(&mut some)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.decoder.buffer().extend_from_slice(&some[..count]);
        }
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Response {
        self.try_ask(request).expect("the connection holds")
    }

    fn try_ask(&mut self, request: &Request) -> io::Result<Response> {
        self.asked += 1;
        self.send(self.asked, request)?;
        let (request_id, response) = read_message::<Response>(self.frame()?).unwrap();
        assert_eq!(request_id, self.asked);
        Ok(response)
    }

    /// Asks for so many puts of one value at once, and then for the answers, in whatever order they come.
    pub(crate) fn flood(&mut self, value: &'static [u8], count: u64) -> Vec<Response> {
        let mut out = Vec::new();
        for number in self.asked + 1..=self.asked + count {
            let options = RequestOptions::new(OperationId(u128::from(number)));
            let put = put("default", "flood", value, options);
            write_message(&mut out, CLIENT_FRAME_BYTES, number, &put).unwrap();
        }
        self.asked += count;
        self.stream.write_all(&out).expect("the connection holds");
        let answer = |_| {
            let frame = self.frame().expect("the connection holds");
            read_message::<Response>(frame).unwrap().1
        };
        (0..count).map(answer).collect()
    }

    pub(crate) fn put(
        &mut self,
        bucket: &str,
        name: &str,
        value: &'static [u8],
        operation: u128,
    ) -> Response {
        self.try_put(bucket, name, value, operation).expect("the connection holds")
    }

    pub(crate) fn try_put(
        &mut self,
        bucket: &str,
        name: &str,
        value: &'static [u8],
        operation: u128,
    ) -> io::Result<Response> {
        let options = RequestOptions::new(OperationId(operation));
        self.try_ask(&put(bucket, name, value, options))
    }

    /// Says that an earlier attempt may have been applied.
    pub(crate) fn retry_put(
        &mut self,
        bucket: &str,
        name: &str,
        value: &'static [u8],
        operation: u128,
    ) -> Response {
        let options = RequestOptions { retry: true, ..RequestOptions::new(OperationId(operation)) };
        self.ask(&put(bucket, name, value, options))
    }

    pub(crate) fn get(&mut self, name: &str) -> GetDone {
        let options = RequestOptions::new(OperationId(1 << 100));
        let get = Get { bucket: "default".parse().unwrap(), key: key(name), options };
        match self.ask(&Request::Get(get)) {
            Response::Get(done) => done,
            other => panic!("a get, not {other:?}"),
        }
    }

    pub(crate) fn status(&mut self) -> StatusDone {
        match self.ask(&Request::Status(Nothing {})) {
            Response::Status(done) => done,
            other => panic!("a status, not {other:?}"),
        }
    }
}

fn put(bucket: &str, name: &str, value: &'static [u8], options: RequestOptions) -> Request {
    Request::Put(Put {
        bucket: bucket.parse().unwrap(),
        key: key(name),
        value: Bytes::from_static(value),
        replaces: Replacing::Latest,
        options,
        expires_at_ms: None,
    })
}

fn key(name: &str) -> Key {
    Key::new(name.as_bytes().to_vec()).unwrap()
}

pub(crate) fn values(done: &GetDone) -> Vec<&[u8]> {
    done.values.iter().map(|value| &value.value[..]).collect()
}
