use proptest::prelude::*;

use super::xml_reader::{MAX_BYTES, MAX_NAMESPACE, MAX_NODES, parse};

fn written(text: &str) -> String {
    let mut out = String::new();
    parse(text.as_bytes()).unwrap().write(&mut out);
    out
}

#[test]
fn prefixes_are_of_no_matter() {
    let expected = "<a xmlns=\"DAV:\"><b xmlns=\"DAV:\"/></a>";
    for text in [
        "<a xmlns='DAV:'><b/></a>",
        "<D:a xmlns:D=\"DAV:\"><D:b></D:b></D:a>",
        "<?xml version='1.0' encoding='utf-8'?>\r\n<x:a xmlns:x='DAV:'><y:b xmlns:y='DAV:'/></x:a>\n",
        "\u{feff}<!-- c --><a xmlns='&#68;AV:'><b/></a>",
    ] {
        assert_eq!(written(text), expected, "{text}");
    }
    assert_eq!(
        written("<a xmlns='u'><b xmlns=''/><c/></a>"),
        "<a xmlns=\"u\"><b xmlns=\"\"/><c xmlns=\"u\"/></a>"
    );
    assert_eq!(
        written("<a x='1' xml:lang='en' p:y='&lt;2' xmlns:p='u'>t&amp;<![CDATA[<]]>&#x41;</a>"),
        "<a xmlns=\"\" x=\"1\" xml:lang=\"en\" xmlns:a2=\"u\" a2:y=\"&lt;2\">t&amp;&lt;A</a>"
    );
}

#[test]
fn documents_that_are_not_well_formed_or_lead_elsewhere_are_refused() {
    let deep = format!("{}{}", "<a>".repeat(33), "</a>".repeat(33));
    let many = format!("<a>{}</a>", "<b/>".repeat(MAX_NODES));
    let namespace = format!("<a xmlns='{}'/>", "x".repeat(MAX_NAMESPACE + 1));
    for text in [
        "",
        " ",
        "text",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a/>x",
        "<a><b></a></b>",
        "<p:a/>",
        "<a p:b='1'/>",
        "<a><b:c xmlns:b=''/></a>",
        "<a x='1' x='2'/>",
        "<a x=1/>",
        "<a p:x='1' q:x='2' xmlns:p='u' xmlns:q='u'/>",
        "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<a>&x;</a>",
        "<a>&#0;</a>",
        "<a>&#xd800;</a>",
        "<a>\u{1}</a>",
        "<a b='&#1;'/>",
        "<1a/>",
        "<a!b/>",
        "<:a/>",
        "<a",
        "<a><!-- </a>",
        &deep,
        &many,
        &namespace,
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(parse(b"<a>\xff</a>").is_err() && parse(&[b' '; MAX_BYTES + 1]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    /// And documents that are written read back as they are.
    #[test]
    fn any_markup_is_read_or_refused(
        text in "(<[ab]?[:/!?]?[a-c]{0,2}( xmlns(:a)?='[ux&;]{0,3}')?/?>|&[a-z#0-9]{1,3};|[a-c<>&'\" \u{e4}\n]|</a>|<!\\[CDATA\\[x\\]\\]>){0,20}"
    ) {
        for text in [text.clone(), format!("<a>{text}</a>")] {
            if let Ok(element) = parse(text.as_bytes()) {
                let mut out = String::new();
                element.write(&mut out);
                prop_assert_eq!(parse(out.as_bytes()), Ok(element), "{}", out);
            }
        }
    }
}
