//! Values about images: which one, and who runs it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::kernel::unit::{BadValue, bad};
use crate::launch::error::{Error, Result};

/// Where images of docker's own format are, as skopeo writes it.
const OF_DOCKER: &str = "docker-archive:";

/// Where others are.
const OTHERS: [&str; 2] = ["oci-archive:", "oci:"];

/// An image in a directory or an archive: `PATH[:TAG]`, and before it `oci:`, `oci-archive:` or `docker-archive:`,
/// as skopeo writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef(String);

impl ImageRef {
    /// From the root on.
    pub fn make_absolute(&mut self) {
        let prefix = OTHERS
            .into_iter()
            .chain([OF_DOCKER])
            .find(|prefix| self.0.starts_with(prefix));
        let prefix = prefix.unwrap_or_default();
        if let Ok(path) = std::path::absolute(&self.0[prefix.len()..])
            && let Some(path) = path.to_str()
        {
            self.0 = format!("{prefix}{path}");
        }
    }

    /// The path and the tag. A colon may be part of either: the path is the longest one at which there is something.
    pub fn split(&self) -> Result<(PathBuf, Option<String>)> {
        let mut prefixes = OTHERS.into_iter().chain([OF_DOCKER]);
        let text = prefixes
            .find_map(|prefix| self.0.strip_prefix(prefix))
            .unwrap_or(&self.0);
        if Path::new(text).exists() {
            return Ok((text.into(), None));
        }
        let colons = text.rmatch_indices(':').map(|(at, _)| text.split_at(at));
        for (path, tag) in colons {
            if Path::new(path).exists() && tag.len() > 1 {
                return Ok((path.into(), Some(tag[1..].to_owned())));
            }
        }
        Err(Error::refused(
            "there is no such directory or file; images are not fetched, but `skopeo copy docker://NAME oci:DIR` \
             puts one into a directory",
        ))
    }

    /// Whether it is to be read as what `docker save` writes.
    pub fn is_of_docker(&self) -> bool {
        self.0.starts_with(OF_DOCKER)
    }
}

impl FromStr for ImageRef {
    type Err = BadValue;
    fn from_str(text: &str) -> std::result::Result<Self, BadValue> {
        if text.is_empty() || text.contains('\0') {
            return bad("an image is wanted: PATH[:TAG]".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Who runs the program: `USER[:GROUP]`, each a name or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub user: String,
    /// The group; the user's own ones where absent.
    pub group: Option<String>,
}

impl FromStr for User {
    type Err = BadValue;
    fn from_str(text: &str) -> std::result::Result<Self, BadValue> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let legal = |name: &str| {
            let forbidden = |char: char| char == ':' || char.is_control() || char.is_whitespace();
            !name.is_empty() && !name.starts_with('-') && !name.contains(forbidden)
        };
        if !legal(user) || group.is_some_and(|group| !legal(group)) {
            return bad(format!(
                "`{text}` is no user; write USER or USER:GROUP, each a name or a number"
            ));
        }
        Ok(Self {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }
}

impl fmt::Display for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.user)?;
        match &self.group {
            Some(group) => write!(out, ":{group}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_have_colons_and_so_may_a_tag() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a:b");
        std::fs::create_dir(&odd).unwrap();
        let odd = odd.to_str().unwrap();
        for prefix in ["", "oci:", "docker-archive:"] {
            for (tag, expected) in [("", None), (":x:y", Some("x:y")), (":1", Some("1"))] {
                let image: ImageRef = format!("{prefix}{odd}{tag}").parse().unwrap();
                let (path, tag) = image.split().unwrap();
                assert_eq!((path.to_str().unwrap(), tag.as_deref()), (odd, expected));
            }
        }
        for missing in [
            "/no/such",
            "/no/such:tag",
            "oci:",
            "busybox:latest",
            &format!("{odd}:"),
        ] {
            let error = missing.parse::<ImageRef>().unwrap().split().unwrap_err();
            assert!(
                error.to_string().contains("no such directory or file"),
                "{missing}"
            );
        }
    }

    #[test]
    fn users_are_names_or_numbers() {
        for text in ["root", "0", "1000:1000", "www-data:adm", "4294967295"] {
            let user: User = text.parse().unwrap();
            assert_eq!(user.to_string(), text);
        }
        for text in ["", ":", "a:", ":b", "a:b:c", "a b", "-1", "a:-1", "a\n"] {
            assert!(text.parse::<User>().is_err(), "{text:?}");
        }
    }
}
