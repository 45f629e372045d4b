//! Headers as the JSON objects that the vectors' README describes.

use haul_protocol::{
    AccessToken, AccountFacts, Answer, Attributes, Classic, FirstOrLater, Name, Op, Reply, Request,
    Right, ServerHello,
};
use serde_json::{Map, Value, json};

/// The object for a header that a server has read.
pub(crate) fn request(header: &FirstOrLater) -> Value {
    match header {
        FirstOrLater::Hello(hello) => {
            let mut object = object("hello");
            object.insert("version".into(), json!(hello.version));
            object.insert("agent".into(), json!(hello.agent));
            object.insert("client".into(), json!(hello.client));
            object.insert("slot".into(), json!(hello.slot));
            if let Some(identity) = &hello.identity {
                object.insert("identity".into(), json!(identity));
            }
            if let Some(publish) = &hello.publish {
                bytes(&mut object, "filename", publish.name.as_bytes());
                if let Some(tree) = publish.tree {
                    object.insert("upload".into(), json!(tree.to_string()));
                }
            }
            object.insert("must".into(), json!(hello.must));
            if let Some(token) = &hello.token {
                let is_one = *token != AccessToken::nobodys();
                let shown = if is_one { json!(token.expose()) } else { json!(false) };
                object.insert("token".into(), shown);
            }
            Value::Object(object)
        }
        FirstOrLater::Classic(Classic::Unknown(cmd)) => {
            json!({ "is": "classic_unknown", "cmd": cmd })
        }
        FirstOrLater::Classic(Classic::Put { name, size }) => {
            let mut object = object("classic_put");
            object.insert("filesize".into(), json!(size));
            match name {
                Ok(name) => bytes(&mut object, "filename", name.as_bytes()),
                Err(_) => drop(object.insert("bad_name".into(), json!(true))),
            }
            Value::Object(object)
        }
        FirstOrLater::Request(Request { id, length, op }) => {
            let mut object = match op {
                Ok(op) => asked(op),
                Err(refusal) => {
                    let mut object = object("refused");
                    object.insert("code".into(), json!(refusal.code.as_str()));
                    object
                }
            };
            object.insert("id".into(), json!(id.get()));
            object.insert("length".into(), json!(length));
            Value::Object(object)
        }
        other => panic!("no vector knows {other:?}"),
    }
}

/// The object for a header that a client has read.
pub(crate) fn answer(header: &Answer) -> Value {
    match header {
        Answer::Hello(hello) => {
            let ServerHello {
                version,
                agent,
                limits,
                durability,
                tree,
                features,
                account,
                next_pin,
            } = &**hello;
            let mut all = object("hello");
            let mut set = |field: &str, value: Value| drop(all.insert(field.into(), value));
            set("version", json!(version));
            set("agent", json!(agent));
            set("durability", json!(durability.as_str()));
            set("features", json!(features));
            set(
                "limits",
                json!({
                    "max_header": limits.max_header, "max_body": limits.max_body,
                    "window_requests": limits.window_requests, "window_bytes": limits.window_bytes,
                    "max_file": limits.max_file,
                }),
            );
            if let Some(tree) = tree {
                set("upload", json!(tree.token.to_string()));
                set("resumed", json!(tree.resumed));
            }
            if let Some(account) = account {
                set("account", facts(account));
            }
            if let Some(pin) = next_pin {
                set("next_pin", json!(pin.to_string()));
            }
            Value::Object(all)
        }
        Answer::Ack(id) => json!({ "is": "ack", "id": id.get() }),
        Answer::Refused { id, refusal } => json!({
            "is": "refused", "id": id.get(), "code": refusal.code.as_str(),
            "message": refusal.message, "retry": refusal.retry,
        }),
        Answer::Answered { id, length, reply } => match reply {
            Reply::Done => json!({ "is": "answered", "id": id.get(), "length": length }),
            Reply::Opened { upload, part_size } => json!({
                "is": "opened", "id": id.get(), "length": length,
                "upload": upload.to_string(), "part_size": part_size,
            }),
            Reply::Listed { more, left_out } => {
                let mut object = object("listed");
                object.insert("id".into(), json!(id.get()));
                object.insert("length".into(), json!(length));
                object.insert("more".into(), json!(more));
                if *left_out > 0 {
                    object.insert("left_out".into(), json!(left_out));
                }
                Value::Object(object)
            }
            Reply::Version { published, files } => {
                let mut object = object("version");
                object.insert("id".into(), json!(id.get()));
                object.insert("length".into(), json!(length));
                let published = json!({ "s": published.s, "ns": published.ns });
                object.insert("published".into(), published);
                object.extend(files.map(|files| ("files".into(), json!(files))));
                Value::Object(object)
            }
            Reply::Part(facts) => {
                let mut object = object("part");
                object.insert("id".into(), json!(id.get()));
                object.insert("length".into(), json!(length));
                object.insert("filesize".into(), json!(facts.size));
                object.insert("state".into(), json!(facts.state.to_string()));
                attributes(&mut object, facts.attributes);
                object.extend(facts.cv.map(|cv| ("cv".into(), json!(cv.to_string()))));
                object.extend(facts.digest.map(|it| ("blake3".into(), json!(it.to_string()))));
                Value::Object(object)
            }
            Reply::Fetched { more, digest } => json!({
                "is": "fetched", "id": id.get(), "length": length,
                "more": more, "blake3": digest.to_string(),
            }),
            other => panic!("no vector knows {other:?}"),
        },
        other => panic!("no vector knows {other:?}"),
    }
}

/// The object of an account, with the words of the wire.
fn facts(account: &AccountFacts) -> Value {
    let rights: Vec<&str> = account.rights.iter().map(Right::as_str).collect();
    let mut all =
        Map::from_iter([("name".into(), json!(account.name)), ("rights".into(), json!(rights))]);
    all.extend(account.expires.map(|expires| ("expires".into(), json!(expires))));
    for (word, used) in [("bytes", account.bytes), ("files", account.files)] {
        if let Some(used) = used {
            all.insert(format!("quota_{word}"), json!(used.quota));
            all.insert(format!("used_{word}"), json!(used.used));
        }
    }
    Value::Object(all)
}

fn asked(op: &Op) -> Map<String, Value> {
    let mut all = object(op.command());
    let mut set = |field: &str, value: Value| drop(all.insert(field.into(), value));
    match op {
        Op::Put { size, digest, .. } => {
            set("filesize", json!(size));
            set("blake3", json!(digest.to_string()));
        }
        Op::Bundle { count, digest } => {
            set("count", json!(count));
            set("blake3", json!(digest.to_string()));
        }
        Op::Open(wanted) => {
            set("filesize", json!(wanted.size));
            set("fingerprint", json!(wanted.fingerprint));
            if wanted.replace {
                set("replace", json!(true));
            }
        }
        Op::Part { upload, offset, cv } => {
            set("upload", json!(upload.to_string()));
            set("offset", json!(offset));
            set("cv", json!(cv.to_string()));
        }
        Op::Commit { upload, digest } => {
            set("upload", json!(upload.to_string()));
            set("blake3", json!(digest.to_string()));
        }
        Op::Abort { upload } => set("upload", json!(upload.to_string())),
        Op::Publish { files: Some(files), .. } => set("files", json!(files)),
        Op::Rollback { again, token, repeated, .. } => {
            for (field, _) in [("again", again), ("repeated", repeated)].iter().filter(|it| *it.1) {
                set(field, json!(true));
            }
            if let Some(token) = token {
                set("upload", json!(token.to_string()));
            }
        }
        Op::Check { reread: true } => set("reread", json!(true)),
        Op::Rename { replace: true, .. } => set("replace", json!(true)),
        Op::Get { offset, part_size, state, whole, .. } => {
            set("offset", json!(offset));
            set("part_size", json!(part_size));
            if let Some(state) = state {
                set("state", json!(state.to_string()));
            }
            if *whole {
                set("whole", json!(true));
            }
        }
        _ => {}
    }
    let (name, own) = named(op);
    if let Some(name) = name {
        bytes(&mut all, "filename", name.as_bytes());
    }
    match op {
        Op::Symlink { target, .. } => bytes(&mut all, "target", target.as_bytes()),
        Op::Setattr { is_file: true, .. } => drop(all.insert("kind".into(), json!("file"))),
        Op::Mkdir { replace: true, .. } => drop(all.insert("replace".into(), json!(true))),
        Op::List { after: Some(after), .. } => bytes(&mut all, "after", after.as_bytes()),
        Op::Rename { to, .. } => bytes(&mut all, "to", to.as_bytes()),
        _ => {}
    }
    attributes(&mut all, own);
    all
}

/// Mode and mtime, as far as they are stated.
pub(crate) fn attributes(object: &mut Map<String, Value>, Attributes { mode, mtime }: Attributes) {
    object.extend(mode.map(|mode| ("mode".to_owned(), json!(mode))));
    object.extend(mtime.map(|at| ("mtime".to_owned(), json!({ "s": at.s, "ns": at.ns }))));
}

fn named(op: &Op) -> (Option<&Name>, Attributes) {
    match op {
        Op::Put { name, attributes, .. } | Op::Setattr { name, attributes, .. } => {
            (Some(name), *attributes)
        }
        Op::Open(wanted) => (Some(&wanted.name), wanted.attributes),
        Op::Remove { name }
        | Op::Rollback { name, .. }
        | Op::Rename { name, .. }
        | Op::Get { name, .. } => (Some(name), Attributes::default()),
        Op::Publish { attributes, .. } => (None, *attributes),
        Op::Mkdir { name, mode, .. } => (Some(name), Attributes { mode: *mode, mtime: None }),
        Op::Symlink { name, mtime, .. } => (Some(name), Attributes { mode: None, mtime: *mtime }),
        Op::List { name, .. } => (name.as_ref(), Attributes::default()),
        _ => (None, Attributes::default()),
    }
}

fn object(is: &str) -> Map<String, Value> {
    Map::from_iter([("is".into(), json!(is))])
}

/// The two forms of a name, as on the wire.
pub(crate) fn bytes(object: &mut Map<String, Value>, field: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(field.into(), json!(text)),
        Err(_) => {
            let base64 = data_encoding::BASE64.encode(bytes);
            object.insert(format!("{field}_b64"), json!(base64))
        }
    };
}
