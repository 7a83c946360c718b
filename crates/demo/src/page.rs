//! The page: its files as Vite built them, and the headers that let a browser run and load nothing else.
//!
//! Owns the files, which are read once, at the start. No request names a path of the file system.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

/// Where Vite puts what the document refers to.
const ASSETS: &str = "assets";

/// The page's files, by the path of their URL.
pub(crate) struct Page {
    files: BTreeMap<String, (&'static str, Bytes)>,
    policy: HeaderValue,
}

impl Page {
    /// Reads a folder that Vite has built. Sockets may go to this origin, and everything else to the page's own.
    ///
    /// # Errors
    /// In words, when the folder does not hold a page.
    pub(crate) fn read(folder: &Path, socket_origin: &str) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        for (below, prefix) in [(folder.to_owned(), "/".to_owned()), (folder.join(ASSETS), format!("/{ASSETS}/"))] {
            read_files(&below, &prefix, &mut files)
                .map_err(|error| format!("read the page in {}: {error}", below.display()))?;
        }
        let document = files.remove("/index.html").ok_or_else(|| format!("{} has no index.html", folder.display()))?;
        files.insert("/".into(), document);
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' \
             {socket_origin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Ok(Self { files, policy: policy.parse().map_err(|_| format!("{socket_origin} is no origin"))? })
    }

    /// The file of this path.
    pub(crate) fn file(&self, path: &str) -> Response {
        let Some((content_type, content)) = self.files.get(path) else {
            return (StatusCode::NOT_FOUND, "there is no such page\n").into_response();
        };
        let headers = [
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        (headers, content.clone()).into_response()
    }
}

fn read_files(folder: &Path, prefix: &str, files: &mut BTreeMap<String, (&'static str, Bytes)>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((name, content_type)) = name.to_str().and_then(|name| Some((name, content_type(name)?))) else {
            continue;
        };
        files.insert(format!("{prefix}{name}"), (content_type, fs::read(entry.path())?.into()));
    }
    Ok(())
}

/// What a page is made of; other files are not served.
fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}
