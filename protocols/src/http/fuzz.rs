//! Any bytes, in any slices: nothing panics, nothing gets out of step.

extern crate std;

use super::{Body, Framing, Head, Request, Response, Url};
use proptest::prelude::*;
use std::format;
use std::string::ToString;
use std::vec::Vec;

/// Bytes that look enough like HTTP to get deep into it.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&[u8]] = &[
        b"GET ",
        b"/ ",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"\r\n",
        b"\n",
        b"Host: a",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"200 OK",
        b"5",
        b"0",
        b"ffff",
        b";",
        b",",
        b" ",
        b"\0",
        b"\xff",
        b"Location: /x",
        b"http://a:1/",
    ];
    let word = prop_oneof![
        4 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn heads_of_anything(bytes in nearly_http()) {
        if let Ok(Head::Whole { bytes: length, .. }) = Request::parse(&bytes) {
            prop_assert!(length <= bytes.len());
        }
        if let Ok(Head::Whole { bytes: length, .. }) = Response::parse(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }

    /// A head stays what it is, however much follows it; before its end it is none.
    #[test]
    fn heads_end_where_they_end(bytes in nearly_http(), more in nearly_http()) {
        if let Ok(Head::Whole { head, bytes: length }) = Request::parse(&bytes) {
            prop_assert_eq!(Request::parse(&bytes[..length - 1]), Ok(Head::Partial));
            let longer = [bytes.as_slice(), &more].concat();
            prop_assert_eq!(Request::parse(&longer), Ok(Head::Whole { head, bytes: length }));
        }
    }

    #[test]
    fn bodies_of_anything(bytes in nearly_http(), step in 1usize..9, length in 0u64..64) {
        for framing in [Framing::Chunked, Framing::Length(length), Framing::UntilClose] {
            let (mut body, mut at) = (Body::new(framing), 0);
            while at < bytes.len() && !body.is_complete() {
                let end = (at + step).min(bytes.len());
                let Ok(piece) = body.feed(&bytes[at..end]) else { break };
                prop_assert!(piece.consumed > 0 && piece.consumed >= piece.data.len());
                at += piece.consumed;
            }
            prop_assert!(at <= bytes.len());
            let _ = body.closed();
        }
    }

    /// What is cut into chunks comes out whole.
    #[test]
    fn chunks_carry_what_was_put_in(pieces: Vec<Vec<u8>>, step in 1usize..9) {
        let mut wire = Vec::new();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            wire.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let (mut body, mut data, mut at) = (Body::new(Framing::Chunked), Vec::new(), 0);
        while !body.is_complete() {
            let end = (at + step).min(wire.len());
            let piece = body.feed(&wire[at..end]).unwrap();
            data.extend_from_slice(piece.data);
            at += piece.consumed;
        }
        prop_assert_eq!(data, pieces.concat());
        prop_assert_eq!(at, wire.len());
    }

    #[test]
    fn urls_of_anything(text: std::string::String) {
        let _ = Url::parse(&text);
        let _ = Url::parse(&format!("http://{text}"));
        let base = Url::parse("http://a/b/").unwrap();
        let _ = base.follow(&text).map(|target| target.to_string());
    }

    /// A URL displays as one that is read the same.
    #[test]
    fn urls_survive(host in "[a-z][a-z0-9-]{0,9}(\\.[a-z][a-z0-9]{0,5}){0,3}", port in 1u16.., path in "(/[a-z?=%&]{0,9}){0,3}") {
        let text = format!("http://{host}:{port}{path}");
        let url = Url::parse(&text).unwrap();
        let again = url.to_string();
        prop_assert_eq!(Url::parse(&again), Ok(url));
    }
}
