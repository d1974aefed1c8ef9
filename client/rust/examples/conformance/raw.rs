//! A request as it stands in a case, over a connection of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kvorum_protocol::codec::{Wire, Writer, decode};
use kvorum_protocol::frame::{read_message, write_frame, write_message};
use kvorum_protocol::limits::CLIENT_FRAME_BYTES;
use kvorum_protocol::message::{Greeting, Hello, Response};
use serde_json::Value;

use crate::cases::value_of;

const REQUEST_ID: u64 = 7;

/// Sends a request twice, because the connection must go on after one that is refused, and returns the second answer.
pub(crate) fn send(endpoint: &str, frame: &Value) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(endpoint)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut out = Vec::new();
    write_message(&mut out, CLIENT_FRAME_BYTES, 0, &Greeting::Hello(Hello::current()))
        .expect("fits");
    for _ in 0..2 {
        let fields = frame.as_array().expect("a frame is an array");
        write_frame(&mut out, CLIENT_FRAME_BYTES, |writer| {
            writer.array(fields.len() as u32 + 1);
            write(&fields[0], writer);
            writer.uint(REQUEST_ID);
            fields[1..].iter().for_each(|field| write(field, writer));
        })
        .expect("fits");
    }
    stream.write_all(&out)?;
    read(&mut stream)?;
    read(&mut stream)?;
    let (id, response) = read_message(read(&mut stream)?.into()).expect("an answer");
    assert_eq!(id, REQUEST_ID, "the answer to what was asked");
    Ok(response)
}

/// The value that stands in a case as it does on the wire.
pub(crate) fn decoded<T: Wire>(value: &Value) -> T {
    let mut out = Vec::new();
    write(value, &mut Writer::new(&mut out));
    decode(out.into()).expect("a value of that type")
}

fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn write(value: &Value, writer: &mut Writer<'_>) {
    match value {
        Value::Null => writer.nil(),
        Value::Bool(truth) => writer.bool(*truth),
        Value::Number(number) => writer.uint(number.as_u64().expect("an unsigned number")),
        Value::String(text) if text == "operation:" => writer.bytes(&rand::random::<[u8; 16]>()),
        Value::String(text) => match text.strip_prefix("text:") {
            Some(text) => writer.text(text),
            None => writer.bytes(&value_of(text)),
        },
        Value::Array(elements) => {
            writer.array(elements.len() as u32);
            elements.iter().for_each(|element| write(element, writer));
        }
        Value::Object(pairs) => {
            // No message of ours has a map, so the writer knows none; a later version's field may be one.
            writer.encoded(&[0x80 | u8::try_from(pairs.len()).expect("a small map")]);
            for (name, value) in pairs {
                writer.text(name);
                write(value, writer);
            }
        }
    }
}
