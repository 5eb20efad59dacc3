//! Server-sent events, as far as a lab server sends them: each event's data is one line of JSON.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use reqwest::Response;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::error::CliError;

/// The longest event that is read, in bytes.
const MAX_EVENT: usize = 1 << 20;
/// The longest silence: the server says every 15 s that it is there.
const MAX_SILENCE: Duration = Duration::from_mins(1);

struct Reader {
    response: Response,
    /// What was read of a line that did not end yet.
    part: Vec<u8>,
    place: String,
}

/// The events of a response. A break is the last item; what is no JSON of the wanted form is left out.
pub(super) fn read<T: DeserializeOwned>(response: Response, place: String) -> impl Stream<Item = Result<T, CliError>> {
    let reader = Reader { response, part: Vec::new(), place };
    stream::unfold(Some(reader), next_line).filter_map(async |line| match line {
        Ok(line) => data(&line).map(Ok),
        Err(error) => Some(Err(error)),
    })
}

fn data<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line.strip_prefix(b"data:")?).ok()
}

async fn next_line(reader: Option<Reader>) -> Option<(Result<Vec<u8>, CliError>, Option<Reader>)> {
    let mut reader = reader?;
    loop {
        if let Some(end) = reader.part.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = reader.part.drain(..=end).collect();
            return Some((Ok(line), Some(reader)));
        }
        let reason = match timeout(MAX_SILENCE, reader.response.chunk()).await {
            Ok(Ok(Some(chunk))) if reader.part.len() + chunk.len() <= MAX_EVENT => {
                reader.part.extend_from_slice(&chunk);
                continue;
            }
            Ok(Ok(None)) => return None,
            Ok(Ok(Some(_))) => "it sends an event that is too long",
            Ok(Err(_)) => "the connection broke",
            Err(_) => "it has fallen silent",
        };
        return Some((Err(CliError::Unreachable { place: reader.place, reason: reason.to_owned() }), None));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// What is read of a body that comes in these pieces.
    async fn read_of(pieces: &'static [&'static str]) -> Vec<Result<Value, CliError>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            for piece in pieces {
                let _ = stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if pieces.last() != Some(&"broken") {
                let _ = stream.write_all(b"0\r\n\r\n").await;
            }
        });
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let response = client.get(format!("http://{address}")).send().await.expect("an answer");
        read(response, "here".to_owned()).collect().await
    }

    #[tokio::test]
    async fn events_may_come_in_any_pieces() {
        let read =
            read_of(&["event: x\nid: 1\nda", "ta: {\"a\":", "1}\n\n: alive\n\ndata: no json\n\n", "data:2\n\n"]).await;
        let read: Vec<Value> = read.into_iter().map(|item| item.expect("an event")).collect();
        assert_eq!(read, [json!({"a": 1}), json!(2)]);
    }

    #[tokio::test]
    async fn a_break_is_told_once_at_the_end() {
        let read = read_of(&["data: 1\n\n", "broken"]).await;
        assert!(matches!(read.as_slice(), [Ok(_), Err(CliError::Unreachable { .. })]), "{read:?}");
    }
}
