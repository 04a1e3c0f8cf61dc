//! What kind of file system a folder is on.

use std::path::Path;

/// Whether other machines may write to it too, or it does not share memory between processes: there is no index there.
#[cfg(target_os = "linux")]
pub(super) fn is_network(path: &Path) -> bool {
    const NETWORK: [u32; 20] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB 2
        0x0bd0_0bd0, // Lustre
        0x4750_4653, // GPFS
        0x1983_0326, // BeeGFS
        0x00c3_6400, // Ceph
        0x6573_5546, // FUSE: sshfs, and folders that a virtual machine shares
        0x0102_1997, // 9P
        0x5346_414f, // AFS
        0x6b41_4653, // kAFS
        0x7375_7245, // Coda
        0x564c,      // NCP
        0x7461_636f, // OCFS2
        0x0116_1970, // GFS2
        0xaad7_aaea, // PanFS
        0x786f_4256, // folders of VirtualBox
        0xbacb_acbc, // folders of VMware
        0x2030_3030, // OrangeFS
    ];
    rustix::fs::statfs(path).is_ok_and(|state| {
        let kind = u64::try_from(state.f_type).unwrap_or_else(|_| state.f_type.cast_unsigned());
        NETWORK.contains(&u32::try_from(kind & 0xffff_ffff).unwrap_or(0))
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_network(_path: &Path) -> bool {
    false
}
