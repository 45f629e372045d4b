//! The scripts of the pages. Each is one file for a browser, and several here: one idea each, in one scope and in this order.

macro_rules! script {
    ($($name:literal),*) => {
        concat!("'use strict';\n{\n", $(include_str!(concat!("script/", $name, ".js"))),*, "}\n")
    };
}

/// The list of a directory, for those who only read.
pub(crate) const LIST: &str = script!("words", "list");

/// The list of a directory and the place for uploads.
pub(crate) const PAGE: &str = script!(
    "words",
    "list",
    "controls",
    "items",
    "conflict",
    "requests",
    "large",
    "order",
    "progress",
    "given",
    "directory"
);

/// The form that asks for a token.
pub(crate) const LOGIN: &str = include_str!("script/login.js");
