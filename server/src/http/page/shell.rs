//! The parts that all pages of the server have: head, style, policy, and text that is no markup.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, BASE64URL_NOPAD};

use crate::http::response::Response;
use crate::http::status::Status;

const STYLE: &str = include_str!("page.css");

/// The picture beside the title, as part of the page: no other address is asked for it.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='5' fill='%234a5cf0'/%3E%3C/svg%3E";

/// A word that one answer has in its policy and in the tags of its own scripts, and that nobody can foresee.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nonce(String);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Nonce {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(BASE64URL_NOPAD.encode(&bytes)))
    }
}

/// The pages' `Content-Security-Policy`: their style, the scripts that have the word (none without one), requests to this server, and nothing else.
pub(crate) fn policy(nonce: &Nonce) -> String {
    let style = BASE64.encode(digest(&SHA256, STYLE.as_bytes()).as_ref());
    let script = match nonce.0.is_empty() {
        true => String::from("'none'"),
        false => format!("'nonce-{nonce}'"),
    };
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src {script}; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// The head of an answer that is a page.
pub(crate) fn head(status: Status, nonce: &Nonce) -> Response {
    as_page(Response::new(status), nonce)
}

/// The head of an answer whose text becomes a page.
pub(crate) fn as_page(response: Response, nonce: &Nonce) -> Response {
    response
        .instead("Content-Type", "text/html; charset=utf-8")
        .with("Content-Security-Policy", policy(nonce))
}

/// A page up to its body.
pub(crate) fn begin(title: &str, view: &str) -> String {
    let mut page = String::with_capacity(STYLE.len() + 4096);
    page.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
    );
    escape(title, &mut page);
    page.push_str("</title>\n<link rel=\"icon\" href=\"");
    page.push_str(ICON);
    page.push_str("\">\n<style>");
    page.push_str(STYLE);
    page.push_str("</style>\n<body data-view=\"");
    page.push_str(view);
    page.push_str("\">\n");
    page
}

/// A request that has failed, for a person. `why`: a sentence.
pub(crate) fn failed(status: Status, why: &str) -> String {
    let (title, said) = match status {
        Status::NOT_FOUND => (
            "Nothing is here",
            "No file or folder has this address. It may have been moved or removed.",
        ),
        Status::FORBIDDEN => ("That is not allowed", "The server does not allow this request."),
        Status::BUSY => ("The server is busy", "Try again in a moment."),
        _ => ("That did not work", "The server could not answer this request."),
    };
    let mut page = begin(title, "failed");
    page.push_str("<header><a class=\"home\" href=\"/\">haul</a></header>\n<main>\n<h1>");
    page.push_str(title);
    page.push_str(&format!(
        "</h1>\n<section>\n<p>{said}</p>\n<p class=\"soft\">{} {}: ",
        status.0, status.1
    ));
    escape(why.trim_end(), &mut page);
    page.push_str("</p>\n<p><a href=\"/\">All files</a></p>\n</section>\n</main>\n");
    page
}

/// Entries of a form that were not stored, with the reasons.
pub(crate) fn refused(done: usize, refused: &[(String, String)]) -> String {
    let mut page = begin("Not all is stored", "refused");
    page.push_str("<header><a class=\"home\" href=\"/\">haul</a></header>\n<main>\n<h1>Not all is stored</h1>\n<section>\n");
    page.push_str(&format!("<p>Stored: {done}. Not stored: {}.</p>\n<ul>\n", refused.len()));
    for (name, why) in refused {
        page.push_str("<li>");
        escape(name, &mut page);
        page.push_str("<br><span class=\"bad\">");
        escape(why, &mut page);
        page.push_str("</span>\n");
    }
    page.push_str("</ul>\n<p><a href=\"\">Back to the files</a></p>\n</section>\n</main>\n");
    page
}

/// The form that asks for a token. `why`: the reason for which a token before was not taken; `to`: the address to go on to.
pub(crate) fn login(nonce: &Nonce, why: Option<&str>, to: &str) -> String {
    let mut page = begin("Log in", "login");
    page.push_str("<main class=\"login\">\n<section>\n<h1>Log in</h1>\n<form id=\"login\" method=\"post\" action=\"/.haul/login\">\n");
    if let Some(why) = why {
        page.push_str("<p class=\"bad\" role=\"alert\">");
        escape(why, &mut page);
        page.push_str("</p>\n");
    }
    page.push_str("<label for=\"token\">Access token</label>\n<input type=\"password\" id=\"token\" name=\"token\" required autofocus autocomplete=\"current-password\" spellcheck=\"false\">\n<input type=\"hidden\" name=\"to\" value=\"");
    escape(to, &mut page);
    page.push_str("\">\n<button class=\"main\">Log in</button>\n</form>\n<p class=\"soft\">The owner of this server gives tokens and links out (hauld user, hauld link).</p>\n</section>\n</main>\n");
    page.push_str(&format!("<script src=\"/.haul/page/login.js\" nonce=\"{nonce}\"></script>\n"));
    page
}

/// Text as text: no letter of it is markup, and no control character gets through.
pub(crate) fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ if letter.is_control() || is_turning(letter) => out.push('\u{fffd}'),
            _ => out.push(letter),
        }
    }
}

/// Whether a character turns the direction of those behind it, so that a name looks like another one.
fn is_turning(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
