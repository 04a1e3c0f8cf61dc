//! Digests that never change as long as [`VERSION`] does not. They were made by another program that follows the text of
//! the encoding.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use retain_key::{Encoder, Graph, KeyHasher, Shape, VERSION, digest};

macro_rules! golden {
    ($(($value:expr, $digest:literal),)*) => {$(
        assert_eq!(digest(&$value).to_string(), $digest, "{}", stringify!($value));
    )*};
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn digests_of_plain_values_and_collections() {
    assert_eq!(VERSION, 1);
    golden![
        (
            (),
            "01857bf2c398a983b593234b6e48fe32c3dcc647015ff354e68c0f87a439563d"
        ),
        (
            false,
            "17988e196469925e00d89065ccde71ee2218355b15d29c6d1094ced777f246b7"
        ),
        (
            true,
            "26687c6631ce09c10f2974e89ff1d272afd0879fc0e0abeec59a028d3ecd43c8"
        ),
        (
            0,
            "f45e9d853eef78ff0d5cdaafda2586f6ddcf34c27c6ba0f539ac931f2b67068b"
        ),
        (
            1,
            "840f374991f9e162ef5a6ce143bd4edaaa4c23c0a1cb96664c5e1b83fc4c26f6"
        ),
        (
            -1,
            "8846bc87e54025b67c87503a6e144b9e04757b5aa855173e0896a76c8138e520"
        ),
        (
            127,
            "6879213f90e2c8df48ffa6b7ff23650be14e8841688a9f96d494360ecc125095"
        ),
        (
            128,
            "1430672dd635b53fd801212f37639cf855838468b5b9348c161e8416d8c08a29"
        ),
        (
            -129,
            "0298f8d25eaa35b881cfc4806f55bfa3cf7c3cd1a45574f13fe71275f1a9dbbf"
        ),
        (
            u64::MAX,
            "802416859dda2e10ba8398ec8d7be60e7f6ce05a765dcc095ca138b6cb7e2119"
        ),
        (
            i128::MIN,
            "68f602d8de3e9267ddd4173c344bd256bdd2dc06bcd847e3ed62c68f59cb39e2"
        ),
        (
            1.5,
            "91202d408143f0281c91f1767d754d0638263a37caa45970bc4b4a44bc8cdcba"
        ),
        (
            -0.0,
            "f5dbba4595b20df383a6a069762d73ebc9e6656c95c260b304e3cd3807940e89"
        ),
        (
            "",
            "72fa406d8748bb1b9653735db5b4f7d9b9fdb6bb6e89870107ec168f48efc188"
        ),
        (
            "abc",
            "fdc94a5a154366f74852f5ea56fc1147f2534a1a66ecba384013d7fb6a8730b6"
        ),
        (
            "\u{e9}\u{1f980}",
            "b310e67e7d077809322ca0536a1aea462e679f9beaa0dd4d8921f9afb7d252d8"
        ),
        (
            "x".repeat(253),
            "3572f646b30caf1c5e53bdfeb8a554e766112150d86d652f279769e62ade28ca"
        ),
        (
            "x".repeat(254),
            "82c5d7646bcb9377b9bd347ec45dc460b83934b325587016f21d32714fdfbd0d"
        ),
        (
            *b"abc",
            "d687ccdc86cda313febe335a01f36161e0c2fffc728d2bf2c0d7b23a87eb30c3"
        ),
        (
            vec![7_u8; 1_000],
            "7dd0b0572b0ab454728ed9956164441a9637fdfb1da587a70bfd8f369698fb04"
        ),
        (
            (1, "a"),
            "e6241867dd177ef45d0ef47f5e62050ddf83f6d814cc9c791b9caed028fea001"
        ),
        (
            [1, 2],
            "837d59e2dc79879bd2cf9ee11ee2fede50b3d8ffbc76e5b1277a64768e99d476"
        ),
        (
            vec![vec![1], vec![]],
            "dfa8bb206b23e714dfadbac7698c4b745239d7dd95c62d439668c5fc72d4d8af"
        ),
        (
            (0..1_000).collect::<Vec<_>>(),
            "01e0b495fd987728cf8b731185aa14e647563ecbc30307c97da68de512706f66"
        ),
        (
            BTreeSet::from([3, 1, 2]),
            "03399e53fabce687b2140b4a51f02ec8f91ae445ed850c5721aba6a35bd817fd"
        ),
        (
            HashMap::from([("a", 1), ("b", 2)]),
            "a0dad2c4f96754433f8ca57ee9bcaa3ba5d808a9f3fb587c78356294daca101b"
        ),
        (
            BTreeMap::from([("k".repeat(200), "v".repeat(200))]),
            "0759b49f29d1e5b8ecd5567da7fa14a8a13016f86dfc16fcc31281425395fda3"
        ),
        (
            (0..300).map(|n| (n, n * n)).collect::<HashMap<_, _>>(),
            "ee38640be0db29855778d1f1f2e8b17ed60187b5feee0a34e5d80842726b3bc5"
        ),
    ];
}

#[test]
fn digests_of_objects() {
    let mut hasher = KeyHasher::new();
    hasher.object("Point", |hasher| {
        hasher.integer(1);
        hasher.complex(1.0, -2.0);
    });
    assert_eq!(
        hasher.finish().to_string(),
        "6e37c53f2f9ebf0a1b08212941dd55f322b3ce68d978dfb53d4cd82f1412b045"
    );
}

#[test]
fn digests_of_values_that_contain_themselves() {
    let mut graph = Graph::new();
    let list = graph.begin(Shape::List).unwrap();
    graph.integer(1);
    graph.again(list);
    graph.end(false);
    assert_eq!(
        graph.finish().to_string(),
        "1f7767503410f6f623203209a1d837f3acf59aaf80155ca2a717d225544668a6"
    );
}
