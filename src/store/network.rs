//! Telling local disks from network file systems, on which SQLite's write-ahead log does not work.

use std::fs;
use std::path::Path;

use super::StoreError;

/// `f_type` of file systems that several machines mount at once (linux/magic.h and the file systems' own sources).
const NETWORK: [(u64, &str); 14] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x564c, "NCP"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x7461_636f, "OCFS2"),
];

/// `f_type` of everything that a user-space program serves: local (ntfs-3g) or remote (sshfs), by its mount type.
const FUSE: u64 = 0x6573_5546;

const REMOTE_FUSE: [&str; 12] =
    ["sshfs", "rclone", "s3fs", "gcsfuse", "goofys", "mount-s3", "glusterfs", "ceph", "davfs", "juicefs", "curlftpfs", "afp"];

/// The name of the network file system that these are the marks of; `None` for a local one.
///
/// `magic` is `f_type` of `statfs`, `mount_type` the type in `/proc/self/mountinfo` (`ext4`, `fuse.sshfs`).
fn network_file_system(magic: u64, mount_type: &str) -> Option<String> {
    if magic == FUSE {
        return REMOTE_FUSE.iter().any(|remote| mount_type.contains(remote)).then(|| mount_type.to_owned());
    }
    NETWORK.iter().find(|(known, _)| *known == magic).map(|(_, name)| (*name).to_owned())
}

/// The type of the file system mounted at the longest prefix of `path`, from the lines of `/proc/self/mountinfo`.
fn mount_type<'a>(mountinfo: &'a str, path: &Path) -> Option<&'a str> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        Some((left.split(' ').nth(4)?, right.split(' ').next()?))
    });
    // The last of equally long ones lies on top.
    mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind)
}

/// The type of the file system that a folder lies on; `None` where the system keeps no list of mounts.
pub(super) fn file_system(dir: &Path) -> Option<String> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mount_type(&mountinfo, &dir.canonicalize().ok()?).map(str::to_owned)
}

/// Refuses a folder on a network file system.
pub(super) fn refuse_network(dir: &Path) -> Result<(), StoreError> {
    let stat = rustix::fs::statfs(dir).map_err(|error| StoreError::file(dir, "ask for its file system")(error.into()))?;
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let real = dir.canonicalize().map_err(StoreError::file(dir, "find the folder"))?;
    // `f_type` is signed on some machines; all the magic numbers have 32 bits.
    let magic = u64::from(stat.f_type as u32);
    match network_file_system(magic, mount_type(&mountinfo, &real).unwrap_or_default()) {
        Some(file_system) => Err(StoreError::Network { path: dir.to_owned(), file_system }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_local_from_remote() {
        for (magic, kind) in [(0xef53, "ext4"), (0x5846_5342, "xfs"), (0x0102_1994, "tmpfs"), (0x794c_7630, "overlay"), (FUSE, "fuseblk")] {
            assert_eq!(network_file_system(magic, kind), None, "{kind}");
        }
        for (magic, kind, name) in [(0x6969, "nfs4", "NFS"), (0xff53_4d42, "cifs", "CIFS"), (FUSE, "fuse.sshfs", "fuse.sshfs")] {
            assert_eq!(network_file_system(magic, kind).as_deref(), Some(name));
        }
    }

    #[test]
    fn the_nearest_mount_counts() {
        let lines =
            "22 1 8:1 / / rw - ext4 /dev/sda rw\n30 22 0:40 / /data rw shared:1 - fuse.sshfs host: rw\n31 22 0:41 / /data2 rw - nfs4 a rw";
        assert_eq!(mount_type(lines, Path::new("/data/boards")), Some("fuse.sshfs"));
        assert_eq!(mount_type(lines, Path::new("/data2")), Some("nfs4"));
        assert_eq!(mount_type(lines, Path::new("/home")), Some("ext4"));
    }

    #[test]
    fn a_refusal_gives_advice() {
        let error = StoreError::Network { path: "/mnt/x".into(), file_system: "NFS".into() };
        assert!(error.to_string().contains("/mnt/x") && error.to_string().contains("NFS") && error.to_string().contains("local disk"));
    }
}
