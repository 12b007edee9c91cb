//! Seats: what an operator's telephone shows when it registers. A secret of its own, never the log-in password; kept is
//! only its HA1, sealed by the vault, so that neither the database nor a copy of it lets anybody register.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{By, UserError, trail};
use crate::{
    domain::{audit::Action, ha1::Ha1, ids::UserId, time::UnixMs},
    store::{SeatRow, Store, Tx, UserRow},
    telemetry::Private,
    vault::{Vault, VaultError},
};

/// Services over seats. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seats {
    store: Store,
    vault: Vault,
    realm: Arc<str>,
    /// A seat that nobody has: unsealed where there is none, so that both take as long.
    nobody: Arc<SeatRow>,
}

/// A seat that is to be, with the secret that is shown once.
#[derive(Clone, Debug)]
pub struct NewSeat {
    row: SeatRow,
    pub secret: Private<String>,
}

/// What a browser registers with.
#[derive(Clone, Debug)]
pub struct Loan {
    pub extension: String,
    pub realm: String,
    /// What it is called in the digest.
    pub name: String,
    pub secret: Private<String>,
    pub expires: UnixMs,
}

/// Between the extension and the end of a lent name.
const LENT: char = '~';

/// The secret that belongs to a lent name; nobody finds the seat's own by it.
fn lent(own: &Ha1, name: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(own.sha256.as_bytes()).expect("a key of any length");
    mac.update(name.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

impl NewSeat {
    /// Gives it to a person.
    pub(super) async fn put(self, tx: &mut Tx, by: &By, user: &UserRow) -> Result<(), UserError> {
        tx.put_seat(&SeatRow { user: Some(user.id), ..self.row }).await?;
        trail::done(tx, by, Action::SipSecretMade, user);
        Ok(())
    }
}

impl Seats {
    /// How long a lent secret is taken: a shift.
    const LOAN_MS: i64 = 12 * 3_600_000;

    /// Services over the same people.
    ///
    /// * `realm` — what secrets are hashed with; with another one none of those made before is taken.
    pub fn new(store: Store, vault: Vault, realm: &str) -> Result<Self, UserError> {
        let secret = hex::encode(store.clock().random::<16>());
        let nobody = Arc::new(sealed(&store, &vault, "", &Ha1::of("", realm, &secret))?);
        Ok(Self { store, vault, realm: realm.into(), nobody })
    }

    /// Makes a secret for an extension: 128 random bits. It counts once the seat is somebody's.
    pub fn make(&self, extension: &str) -> Result<NewSeat, UserError> {
        let secret = hex::encode(self.store.clock().random::<16>());
        let row = sealed(&self.store, &self.vault, extension, &Ha1::of(extension, &self.realm, &secret))?;
        Ok(NewSeat { row, secret: Private(secret) })
    }

    /// Gives a person's telephone a new secret; the one before is no longer taken.
    ///
    /// # Errors
    /// [`UserError::NoSeat`] when the person has no extension.
    pub async fn renew(&self, by: &By, user: UserId) -> Result<Private<String>, UserError> {
        let mut tx = self.store.begin().await?;
        let user = tx.user(user).await?.ok_or(UserError::NotFound(user))?;
        let extension = user.extension.as_deref().ok_or_else(|| UserError::NoSeat(user.name.clone()))?;
        let seat = self.make(extension)?;
        let secret = seat.secret.clone();
        seat.put(&mut tx, by, &user).await?;
        tx.commit().await?;
        Ok(secret)
    }

    /// What a telephone shows under a name; nothing where none may register under it.
    ///
    /// * `name` — an extension, or one of those of [`Seats::lend`].
    pub async fn ha1(&self, name: &str) -> Result<Option<Ha1>, UserError> {
        let (extension, until) =
            name.split_once(LENT).map_or((name, None), |(extension, until)| (extension, Some(until)));
        let row = self.store.open_seat(extension).await?;
        let opened = self.opened(row.as_ref().unwrap_or(&self.nobody))?;
        if row.is_none() {
            return Ok(None);
        }
        let Some(until) = until else { return Ok(Some(opened)) };
        let lives = until.parse().is_ok_and(|until: i64| until > self.store.clock().now().0);
        Ok(lives.then(|| Ha1::of(name, &self.realm, &lent(&opened, name))))
    }

    /// A name and a secret for one browser, for twelve hours; the seat's own stays as it is. Nothing is kept: it is made of
    /// the seat's own, and ends with it.
    ///
    /// # Errors
    /// [`UserError::NoSeat`] when the person has no extension.
    pub async fn lend(&self, user: &UserRow) -> Result<Loan, UserError> {
        let none = || UserError::NoSeat(user.name.clone());
        let extension = user.extension.clone().ok_or_else(none)?;
        let row = self.store.open_seat(&extension).await?.ok_or_else(none)?;
        let expires = UnixMs(self.store.clock().now().0 + Self::LOAN_MS);
        let name = format!("{extension}{LENT}{}", expires.0);
        let secret = Private(lent(&self.opened(&row)?, &name));
        Ok(Loan { extension, realm: self.realm.to_string(), name, secret, expires })
    }

    fn opened(&self, row: &SeatRow) -> Result<Ha1, UserError> {
        let open = |kind: &str, sealed: &Private<String>| {
            let name = place(&row.extension, kind);
            let changed = || VaultError::Changed(name.clone());
            let bytes = hex::decode(sealed.reveal()).map_err(|_| changed())?;
            String::from_utf8(self.vault.unseal(&name, &bytes)?).map_err(|_| changed())
        };
        Ok(Ha1 { md5: open("md5", &row.ha1_md5)?, sha256: open("sha256", &row.ha1_sha256)? })
    }
}

/// A seat that belongs to nobody yet.
fn sealed(store: &Store, vault: &Vault, extension: &str, ha1: &Ha1) -> Result<SeatRow, UserError> {
    let seal = |kind: &str, text: &str| -> Result<_, VaultError> {
        Ok(Private(hex::encode(vault.seal(&place(extension, kind), text.as_bytes())?)))
    };
    let now = store.clock().now();
    Ok(SeatRow {
        extension: extension.to_owned(),
        user: None,
        ha1_md5: seal("md5", &ha1.md5)?,
        ha1_sha256: seal("sha256", &ha1.sha256)?,
        created: now,
        changed: now,
    })
}

/// The name that it is sealed under, so that no seat's row opens in another's place.
fn place(extension: &str, kind: &str) -> String {
    format!("seat:{extension}:{kind}")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{
        config::People,
        domain::role::Role,
        store::testing::{MONDAY_NINE, TestStore, on_every_database},
        users::{Change, NewUser, Users},
    };

    /// The services over a fresh database.
    struct Desk {
        users: Users,
        seats: Seats,
        test: TestStore,
        _keys: TempDir,
    }

    impl Desk {
        fn open(test: TestStore) -> Self {
            let keys = tempfile::tempdir().expect("a folder");
            let vault = Vault::in_folder(keys.path(), test.clock.clone());
            let users = Users::new(test.store.clone(), &People::default());
            Self { users, seats: Seats::new(test.store.clone(), vault, "hotline").expect("keys"), test, _keys: keys }
        }

        /// Li, and the secret of 8001.
        async fn li(&self) -> (UserRow, Private<String>) {
            let seat = self.seats.make("8001").expect("a secret");
            let secret = seat.secret.clone();
            let (name, extension) = ("li".into(), Some("8001".into()));
            let new = NewUser { name, roles: vec![Role::Agent], extension, seat: Some(seat), ..NewUser::default() };
            (self.users.add(new).await.expect("added"), secret)
        }

        async fn knows(&self, extension: &str, secret: &Private<String>) -> bool {
            let ha1 = self.seats.ha1(extension).await.expect("a look");
            ha1 == Some(Ha1::of(extension, "hotline", secret.reveal()))
        }
    }

    on_every_database! {
        async fn a_new_secret_takes_the_place_of_the_one_before(test: TestStore) {
            let desk = Desk::open(test);
            let (li, first) = desk.li().await;
            assert_eq!(first.reveal().len(), 32);
            assert!(desk.knows("8001", &first).await);
            let second = desk.seats.renew(&By::machine(), li.id).await.expect("another");
            assert!(desk.knows("8001", &second).await && !desk.knows("8001", &first).await);
            assert_eq!(desk.seats.ha1("8002").await.expect("a look"), None);
        }

        async fn a_lent_secret_is_taken_for_a_shift_and_ends_with_the_seat_s_own(test: TestStore) {
            let desk = Desk::open(test);
            let (li, own) = desk.li().await;
            let loan = desk.seats.lend(&li).await.expect("lent");
            assert_eq!((loan.extension.as_str(), loan.realm.as_str()), ("8001", "hotline"));
            let taken = async |loan: &Loan| {
                let ha1 = desk.seats.ha1(&loan.name).await.expect("a look");
                ha1 == Some(Ha1::of(&loan.name, "hotline", loan.secret.reveal()))
            };
            assert!(taken(&loan).await && desk.knows("8001", &own).await, "both");
            for name in ["8001~", "8001~9223372036854775808", "8001~x", "8002~9999999999999", "~9999999999999"] {
                let ha1 = desk.seats.ha1(name).await.expect("a look");
                assert_ne!(ha1, Some(Ha1::of(name, "hotline", loan.secret.reveal())), "{name}");
            }
            let another = desk.seats.lend(&li).await.expect("lent");
            desk.test.clock.set(UnixMs(loan.expires.0));
            assert!(!taken(&loan).await, "the shift is over");
            desk.test.clock.set(MONDAY_NINE);
            desk.seats.renew(&By::machine(), li.id).await.expect("another");
            assert!(!taken(&another).await, "it was made of the one before");
            let loan = desk.seats.lend(&li).await.expect("lent");
            desk.users.disable(&By::machine(), li.id).await.expect("closed");
            assert!(!taken(&loan).await);
            assert!(matches!(desk.seats.lend(&li).await, Err(UserError::NoSeat(_))));
        }

        async fn neither_the_secret_nor_its_ha1_lies_open_in_the_database(test: TestStore) {
            let desk = Desk::open(test);
            let (_, secret) = desk.li().await;
            let row = desk.test.store.open_seat("8001").await.expect("a look").expect("a seat");
            let ha1 = Ha1::of("8001", "hotline", secret.reveal());
            let sealed = [row.ha1_md5.reveal().as_str(), row.ha1_sha256.reveal().as_str()];
            for open in [secret.reveal(), &ha1.md5, &ha1.sha256, &hex::encode(&ha1.md5), &hex::encode(&ha1.sha256)] {
                assert!(sealed.iter().all(|it| !it.contains(open.as_str())));
            }
            assert_eq!(row.changed, MONDAY_NINE);
        }

        async fn a_closed_account_s_telephone_is_not_taken_until_it_is_opened_again(test: TestStore) {
            let desk = Desk::open(test);
            let (li, secret) = desk.li().await;
            desk.users.disable(&By::machine(), li.id).await.expect("closed");
            assert!(!desk.knows("8001", &secret).await);
            desk.users.enable(&By::machine(), li.id).await.expect("opened");
            assert!(desk.knows("8001", &secret).await);
        }

        async fn who_gets_another_extension_needs_another_secret(test: TestStore) {
            let desk = Desk::open(test);
            let (li, secret) = desk.li().await;
            let moved = Change { extension: Some(Some("8002".into())), ..Change::default() };
            desk.users.change(&By::machine(), li.id, 1, moved).await.expect("moved");
            assert!(!desk.knows("8001", &secret).await, "the old place may be another's tomorrow");
            assert_eq!(desk.seats.ha1("8002").await.expect("a look"), None);
            let secret = desk.seats.renew(&By::machine(), li.id).await.expect("another");
            assert!(desk.knows("8002", &secret).await);
        }

        async fn who_keeps_the_extension_keeps_the_secret(test: TestStore) {
            let desk = Desk::open(test);
            let (li, secret) = desk.li().await;
            let renamed = Change { name: Some("li.ming".into()), ..Change::default() };
            desk.users.change(&By::machine(), li.id, 1, renamed).await.expect("renamed");
            assert!(desk.knows("8001", &secret).await);
        }

        async fn without_an_extension_there_is_no_secret(test: TestStore) {
            let desk = Desk::open(test);
            let new = NewUser { name: "wang".into(), roles: vec![Role::Agent], ..NewUser::default() };
            let wang = desk.users.add(new).await.expect("added");
            let none = desk.seats.renew(&By::machine(), wang.id).await;
            assert!(matches!(none, Err(UserError::NoSeat(name)) if name == "wang"));
        }

        async fn a_sealed_secret_opens_under_its_own_extension_alone(test: TestStore) {
            let desk = Desk::open(test);
            desk.li().await;
            desk.test.meddle("UPDATE seats SET extension = '8002'").await;
            let exchanged = desk.seats.ha1("8002").await;
            assert!(matches!(exchanged, Err(UserError::Vault(VaultError::Changed(_)))), "{exchanged:?}");
        }
    }
}
