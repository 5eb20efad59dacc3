//! XML-RPC (its 1999 specification) as far as supervisord speaks it. What comes is bounded in depth here, in size by the
//! reader, and never panics.

use std::{collections::BTreeMap, fmt::Write};

use quick_xml::{Reader, escape::escape, events::Event};

/// The deepest nesting of values that is read; supervisord's deepest is 4.
const MAX_DEPTH: usize = 16;

/// A value of XML-RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(i64),
    Bool(bool),
    Text(String),
    Array(Vec<Value>),
    Struct(BTreeMap<String, Value>),
}

impl Value {
    /// A struct's member.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(members) => members.get(name),
            _ => None,
        }
    }

    pub(super) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn into_array(self) -> Option<Vec<Self>> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str("<value>");
        match self {
            // writing to a string cannot fail
            Self::Int(number) => {
                let _ = write!(out, "<int>{number}</int>");
            }
            Self::Bool(is) => {
                let _ = write!(out, "<boolean>{}</boolean>", u8::from(*is));
            }
            Self::Text(text) => {
                let _ = write!(out, "<string>{}</string>", escape(text.as_str()));
            }
            Self::Array(values) => {
                out.push_str("<array><data>");
                for value in values {
                    value.write(out);
                }
                out.push_str("</data></array>");
            }
            Self::Struct(members) => {
                out.push_str("<struct>");
                for (name, value) in members {
                    let _ = write!(out, "<member><name>{}</name>", escape(name.as_str()));
                    value.write(out);
                    out.push_str("</member>");
                }
                out.push_str("</struct>");
            }
        }
        out.push_str("</value>");
    }
}

/// A call's body.
pub(super) fn call(method: &str, params: &[Value]) -> String {
    let mut out = format!("<?xml version=\"1.0\"?><methodCall><methodName>{}</methodName><params>", escape(method));
    for param in params {
        out.push_str("<param>");
        param.write(&mut out);
        out.push_str("</param>");
    }
    out.push_str("</params></methodCall>");
    out
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Value(Value),
    Fault { code: i64, text: String },
}

/// The fault that a struct tells of, alone or in the answer to several calls.
pub(super) fn fault(value: &Value) -> Option<(i64, String)> {
    Some((value.get("faultCode")?.as_int()?, value.get("faultString")?.as_str()?.to_owned()))
}

/// Reads an answer's body; an error says what is wrong with it.
pub(super) fn answer(body: &[u8]) -> Result<Answer, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut parser = Parser { reader };
    parser.open("methodResponse")?;
    let answer = match parser.any_open()?.as_str() {
        "params" => {
            parser.open("param")?;
            parser.open("value")?;
            let value = parser.value(0)?;
            parser.close()?;
            Answer::Value(value)
        }
        "fault" => {
            parser.open("value")?;
            let value = parser.value(0)?;
            let (code, text) = fault(&value).ok_or("the fault has no code or no text")?;
            Answer::Fault { code, text }
        }
        other => return Err(format!("`{}` stands where an answer should", other.escape_debug())),
    };
    parser.close()?;
    parser.close()?;
    Ok(answer)
}

enum Token {
    Open(String),
    Text(String),
    Close,
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
}

impl Parser<'_> {
    fn token(&mut self) -> Result<Token, String> {
        loop {
            return Ok(match self.reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(tag) => Token::Open(tag.name().as_ref().to_owned()),
                Event::End(_) => Token::Close,
                Event::Text(text) => Token::Text(text.xml10_content().into_owned()),
                Event::CData(text) => Token::Text(text.xml10_content().into_owned()),
                Event::GeneralRef(reference) => Token::Text(match &*reference {
                    "amp" => "&".to_owned(),
                    "lt" => "<".to_owned(),
                    "gt" => ">".to_owned(),
                    "quot" => "\"".to_owned(),
                    "apos" => "'".to_owned(),
                    _ => match reference.resolve_char_ref().map_err(|error| error.to_string())? {
                        Some(character) => character.into(),
                        None => return Err("it names an entity of its own".to_owned()),
                    },
                }),
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => continue,
                Event::DocType(_) => return Err("it has a document type".to_owned()),
                Event::Eof => return Err("it ends too early".to_owned()),
                Event::Empty(_) => return Err("an empty element was not expanded".to_owned()),
            });
        }
    }

    /// The next tag; blanks before it are passed over.
    fn tag(&mut self) -> Result<Option<String>, String> {
        loop {
            match self.token()? {
                Token::Open(name) => return Ok(Some(name)),
                Token::Close => return Ok(None),
                Token::Text(text) if text.trim().is_empty() => {}
                Token::Text(_) => return Err("text stands where an element should".to_owned()),
            }
        }
    }

    fn any_open(&mut self) -> Result<String, String> {
        self.tag()?.ok_or_else(|| "an element is missing".to_owned())
    }

    fn open(&mut self, name: &str) -> Result<(), String> {
        match self.any_open()? {
            found if found == name => Ok(()),
            found => Err(format!("`{}` stands where `{name}` should", found.escape_debug())),
        }
    }

    fn close(&mut self) -> Result<(), String> {
        self.tag()?.map_or(Ok(()), |name| Err(format!("`{}` is too much", name.escape_debug())))
    }

    /// Text up to the end of the element.
    fn text(&mut self) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.token()? {
                Token::Text(part) => text.push_str(&part),
                Token::Close => return Ok(text),
                Token::Open(name) => return Err(format!("`{}` stands where text should", name.escape_debug())),
            }
        }
    }

    /// What is in a `value` that was opened, to its end.
    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} values"));
        }
        let mut text = String::new();
        let kind = loop {
            match self.token()? {
                Token::Text(part) => text.push_str(&part),
                // without a type it is a string
                Token::Close => return Ok(Value::Text(text)),
                Token::Open(kind) => break kind,
            }
        };
        let value = match kind.as_str() {
            "int" | "i4" | "i8" => Value::Int(self.text()?.trim().parse().map_err(|_| "an `int` is no number")?),
            "boolean" => Value::Bool(self.text()?.trim() == "1"),
            "string" => Value::Text(self.text()?),
            "array" => self.array(depth)?,
            "struct" => self.members(depth)?,
            other => return Err(format!("`{}` is no type that supervisord uses", other.escape_debug())),
        };
        self.close()?;
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        let mut values = Vec::new();
        self.open("data")?;
        while let Some(name) = self.tag()? {
            if name != "value" {
                return Err("an array holds something else than values".to_owned());
            }
            values.push(self.value(depth + 1)?);
        }
        self.close()?;
        Ok(Value::Array(values))
    }

    fn members(&mut self, depth: usize) -> Result<Value, String> {
        let mut members = BTreeMap::new();
        while let Some(name) = self.tag()? {
            if name != "member" {
                return Err("a struct holds something else than members".to_owned());
            }
            self.open("name")?;
            let name = self.text()?;
            self.open("value")?;
            members.insert(name, self.value(depth + 1)?);
            self.close()?;
        }
        Ok(Value::Struct(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response(value: &Value) -> String {
        let mut out = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n".to_owned();
        value.write(&mut out);
        out + "</param>\n</params>\n</methodResponse>\n"
    }

    fn values() -> impl Strategy<Value = Value> {
        // what XML 1.0 can hold; supervisord sends nothing else
        let text = "[ -~äß€\u{1f600}\n]{0,20}";
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Int),
            any::<bool>().prop_map(Value::Bool),
            text.prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 30, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                proptest::collection::btree_map(text, inner, 0..5).prop_map(Value::Struct),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in values()) {
            prop_assert_eq!(answer(response(&value).as_bytes()), Ok(Answer::Value(value)));
        }

        #[test]
        fn an_answer_cut_anywhere_is_an_error(value in values(), at in 0.0..1.0) {
            let whole = response(&value);
            let end = whole.rfind("</methodResponse>").expect("its end");
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss,
                reason = "a place somewhere in it")]
            let cut = (end as f64 * at) as usize;
            prop_assert!(answer(&whole.as_bytes()[..cut]).is_err());
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer(&bytes);
        }
    }

    #[test]
    fn a_fault_is_read() {
        let body = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>10</int></value>\
            </member><member><name>faultString</name><value><string>BAD_NAME: a&amp;b</string></value></member></struct>\
            </value></fault></methodResponse>";
        let expected = Answer::Fault { code: 10, text: "BAD_NAME: a&b".to_owned() };
        assert_eq!(answer(body.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_too_deep_or_brings_its_own_entities_is_refused() {
        let deep = "<value><array><data>".repeat(100_000);
        let body = format!("<methodResponse><params><param>{deep}");
        assert!(answer(body.as_bytes()).expect_err("too deep").contains("deeper"));
        let body = "<!DOCTYPE a [<!ENTITY b 'cc'>]><methodResponse/>";
        assert!(answer(body.as_bytes()).expect_err("a document type").contains("document type"));
        let body = "<methodResponse><params><param><value>&b;</value></param></params></methodResponse>";
        assert!(answer(body.as_bytes()).is_err());
        assert!(answer(b"<html>404</html>").is_err());
    }
}
