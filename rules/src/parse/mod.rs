//! Readers of the texts that rules judge: image references, hosts, paths, routes, quantities.
//!
//! By hand and ASCII only: a regular expression or a URL parser that is a little more generous than the runtime that
//! uses the text is a hole in an allow list.

pub mod address;
pub mod egress;
pub mod entry;
pub mod host;
pub mod image;
pub mod json_schema;
pub(crate) mod meant;
pub mod media;
pub mod name;
pub mod near;
pub mod path;
pub mod placeholder;
pub mod profile;
pub mod punycode;
pub mod quantity;
pub mod request_path;
pub mod route;
pub mod uri;
pub mod url;
