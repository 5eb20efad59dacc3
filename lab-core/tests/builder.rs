//! The builders against their suite, as a backend of somebody else's would be.
#![cfg(feature = "testing")]

use std::sync::Arc;

use lab_core::testing::Subject;

mod fake {
    use super::*;
    use lab_core::{
        builder::{BuildError, Builder},
        testing::builder::{BuilderCall, FakeBuilder},
    };

    lab_core::builder_conformance!(async { Subject::<dyn Builder>::new(Arc::new(FakeBuilder::new())) });

    #[tokio::test]
    async fn a_fake_fails_hangs_and_remembers_as_it_is_told() {
        use lab_core::{builder::BuildJob, progress::Silent};
        use std::time::Duration;
        use tokio_util::sync::CancellationToken;

        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::create_dir(dir.path().join("pb_hooks")).expect("create");
        std::fs::write(dir.path().join("pb_hooks/a.pb.js"), "").expect("write");
        let fake = FakeBuilder::new();
        fake.fail_next_plan(BuildError::Cancelled);
        assert!(fake.plan(dir.path(), None).await.is_err());
        let plan = fake.plan(dir.path(), None).await.expect("plan");
        let (checkout, output) = (dir.path().to_owned(), dir.path().join("out"));
        let job = BuildJob { timeout: Duration::from_millis(50), ..BuildJob::new(checkout, plan, output) };
        let build = || fake.build(job.clone(), Arc::new(Silent), CancellationToken::new());
        fake.fail_next(BuildError::MissingProgram { program: "go".to_owned() });
        fake.hang_next();
        assert!(matches!(build().await, Err(BuildError::MissingProgram { .. })));
        assert!(matches!(build().await, Err(BuildError::TimedOut { .. })));
        assert!(build().await.is_ok());
        assert!(matches!(build().await, Err(BuildError::Invalid { .. })));
        assert_eq!(fake.journal().len(), 6);
        assert_eq!(fake.journal()[0], BuilderCall::Plan(dir.path().to_owned()));
    }
}

mod local {
    use std::{
        fs,
        os::unix::fs::PermissionsExt,
        path::{Path, PathBuf},
    };

    use super::*;
    use async_trait::async_trait;
    use lab_core::{
        builder::{Builder, LocalBuilder, LocalBuilderSettings},
        pocketbase::{PocketBaseBinaries, PocketBaseError},
        progress::Progress,
    };

    use tokio_util::sync::CancellationToken;

    /// Writes a script where the official binary would be linked.
    #[derive(Debug)]
    struct Scripts;

    #[async_trait]
    impl PocketBaseBinaries for Scripts {
        async fn link_into(
            &self,
            _: &semver::Version,
            folder: &Path,
            _: &dyn Progress,
            _: &CancellationToken,
        ) -> Result<PathBuf, PocketBaseError> {
            let destination = folder.join("pocketbase");
            fs::write(&destination, "#!/bin/sh\n").expect("write");
            fs::set_permissions(&destination, fs::Permissions::from_mode(0o555)).expect("chmod");
            Ok(destination)
        }

        async fn nearest(
            &self,
            _: &semver::Version,
            _: &CancellationToken,
        ) -> Result<Vec<semver::Version>, PocketBaseError> {
            Ok(Vec::new())
        }
    }

    lab_core::builder_conformance!(async {
        let dir = tempfile::tempdir().expect("tempdir");
        let settings = LocalBuilderSettings::new(dir.path(), "/usr/bin:/bin");
        Subject::<dyn Builder>::new(Arc::new(LocalBuilder::new(settings, Arc::new(Scripts)))).with(dir)
    });
}
