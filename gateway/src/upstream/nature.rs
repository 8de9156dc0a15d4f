//! What a server is found to speak, and whether a call must be translated for it. Pure.

use api::Translate;

use crate::protocol::Era;

/// What the handshake with a server over HTTP found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nature {
    /// The one era it speaks; `None` if it speaks both, or did not say.
    pub only: Option<Era>,
    /// It has nothing but tools, which are the same in both eras.
    pub only_tools: bool,
}

impl Nature {
    /// Whether a call of this era must be translated.
    ///
    /// By itself a modern caller falls back to what a legacy server speaks, and gets more from it that way, so it is
    /// translated for only where nothing is lost. A legacy caller knows nothing to fall back to.
    pub fn needs_translation(self, era: Era, translate: Translate) -> bool {
        let other = self.only.is_some_and(|only| only != era);
        other
            && match translate {
                Translate::Never => false,
                Translate::Always => true,
                Translate::Auto => era == Era::Legacy || self.only_tools,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_of_another_era_is_translated() {
        use Era::{Legacy, Modern};
        use Translate::{Always, Auto, Never};
        let nature = |only, only_tools| Nature { only, only_tools };
        for (nature, era, translate, expected) in [
            (nature(Some(Legacy), true), Modern, Auto, true),
            (nature(Some(Legacy), false), Modern, Auto, false),
            (nature(Some(Legacy), false), Modern, Always, true),
            (nature(Some(Legacy), true), Modern, Never, false),
            (nature(Some(Legacy), true), Legacy, Always, false),
            (nature(Some(Modern), false), Legacy, Auto, true),
            (nature(Some(Modern), false), Legacy, Never, false),
            (nature(Some(Modern), false), Modern, Always, false),
            (nature(None, true), Modern, Always, false),
            (nature(None, true), Legacy, Always, false),
        ] {
            let found = nature.needs_translation(era, translate);
            assert_eq!(found, expected, "{nature:?} {era:?} {translate:?}");
        }
    }
}
