// swift-tools-version: 6.2
import PackageDescription

// The house (docs/ARCHITECTURE.md): a room is a target, and its dependencies below are the only
// arrows. `swift build --explicit-target-dependency-import-check error` refuses others, and
// Tests/TidyTests holds every import line against this table.

/// The CPU that the kernels are compiled for: this machine's by default, `REPVGG_CPU=x86-64-v3`
/// (any -march value) for a cluster of mixed machines.
let cpu = Context.environment["REPVGG_CPU"] ?? "native"

/// `REPVGG_CHECKED=1` compiles the kernels with bounds and preconditions checked, as tests under
/// the sanitizers want them.
let checkedKernels = Context.environment["REPVGG_CHECKED"] != nil

let kernelSettings: [SwiftSetting] = [
  .unsafeFlags(["-Xcc", "-march=\(cpu)"]),
  .unsafeFlags(checkedKernels ? ["-O"] : ["-Ounchecked"], .when(configuration: .release)),
]

/// Compiled for the same CPU, but with all checks: the room reads files of strangers.
let imageSettings: [SwiftSetting] = [.unsafeFlags(["-Xcc", "-march=\(cpu)"])]

func room(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = [])
  -> Target
{
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

/// `excluding`: files that tests find beside their source.
func tests(_ name: String, _ dependencies: [Target.Dependency], excluding: [String] = []) -> Target
{
  .testTarget(name: name, dependencies: dependencies + ["_TestSupport"], exclude: excluding)
}

let package = Package(
  name: "repvgg",
  products: [
    .executable(name: "repvgg", targets: ["repvgg"]),
    // For programs in C: Sources/CInference/include/repvgg.h.
    .library(name: "RepVGG", type: .dynamic, targets: ["Inference"]),
    .executable(name: "mpi-check", targets: ["mpi-check"]),
    .executable(name: "reader-fuzz", targets: ["reader-fuzz"]),
    .executable(name: "fault-campaign", targets: ["fault-campaign"]),
  ],
  targets: [
    // C libraries of Debian, through module maps and shims.
    .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CZip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),
    .systemLibrary(name: "CKernelBuild"),
    .systemLibrary(name: "CAffinity"),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),

    // C of our own around Debian's libjpeg62-turbo-dev and libpng-dev: their errors are jumps,
    // which must not cross Swift.
    .target(name: "CJPEG", linkerSettings: [.linkedLibrary("jpeg")]),
    .target(name: "CPNG", linkerSettings: [.linkedLibrary("png")]),

    // Floor 1
    room("Images", ["CJPEG", "CPNG"], settings: imageSettings),
    room("Kernels", ["COpenBLAS", "CKernelBuild"], settings: kernelSettings),
    room("Tensors", ["CCrypto", "CZip"]),
    room("Collectives"),
    room("RunPlanning", ["CYAML"]),
    room("Reporting"),
    room("Failpoints"),

    // Floor 2
    room("RepVGGModel", ["Kernels", "Tensors", "RunPlanning"]),
    room("ImageData", ["Images", "RunPlanning", "Tensors", "CZlib"]),
    room("Checkpoints", ["Failpoints", "Tensors"]),
    room("MPICollectives", ["Collectives", "CMPI"]),

    // Floor 3
    room(
      "Training",
      [
        "RepVGGModel", "ImageData", "RunPlanning", "Collectives", "Tensors", "Kernels",
        "Failpoints",
      ]),
    room("Deployment", ["RepVGGModel", "ImageData", "RunPlanning", "Tensors", "Kernels"]),

    // Floor 4
    room(
      "Orchestration",
      [
        "CAffinity", "Training", "Deployment", "RepVGGModel", "ImageData", "Checkpoints", "Kernels",
        "Tensors",
        "Collectives", "RunPlanning", "Reporting", "Failpoints",
      ]),

    // Floor 5
    .executableTarget(
      name: "repvgg",
      dependencies: [
        "Orchestration", "Deployment", "ImageData", "Checkpoints", "MPICollectives", "Kernels",
        "Tensors", "Collectives", "RunPlanning", "Reporting", "Failpoints",
      ]),

    // What C may call, beside the header that says how.
    .target(name: "CInference"),
    room("Inference", ["CInference", "Orchestration", "Deployment", "ImageData", "Kernels"]),

    // Beside the house: what tests share, the suite that runs under mpirun, the one that spoils
    // files, and the one that does everything else that must not hurt.
    room("_CollectivesConformance", ["Collectives"]),
    room("_TestSupport", ["Tensors", "RunPlanning", "CZlib"]),
    .executableTarget(
      name: "mpi-check", dependencies: ["_CollectivesConformance", "MPICollectives", "Collectives"]),
    .executableTarget(
      name: "reader-fuzz",
      dependencies: ["Images", "ImageData", "RunPlanning", "Tensors", "_TestSupport"]),
    .executableTarget(
      name: "fault-campaign",
      dependencies: ["Checkpoints", "Failpoints", "Tensors", "_TestSupport"]),

    tests("RunPlanningTests", ["RunPlanning"]),
    tests("TensorsTests", ["Tensors"], excluding: ["PyTorch"]),
    tests("CollectivesTests", ["Collectives", "_CollectivesConformance"]),
    tests("ReportingTests", ["Reporting"]),
    tests("ImagesTests", ["Images"], excluding: ["Golden"]),
    tests("ImageDataTests", ["ImageData", "Images", "RunPlanning", "Tensors"]),
    tests("CheckpointsTests", ["Checkpoints", "Tensors"]),
    tests("KernelsTests", ["Kernels"]),
    tests("RepVGGModelTests", ["RepVGGModel", "RunPlanning", "Tensors", "Kernels"]),
    tests(
      "TrainingTests",
      [
        "Training", "RepVGGModel", "ImageData", "RunPlanning", "Collectives", "Tensors", "Kernels",
        "CAllocationCounter",
      ]),
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
    tests("DeploymentTests", ["Deployment", "RepVGGModel", "RunPlanning", "Tensors", "Kernels"]),
    tests(
      "OrchestrationTests",
      [
        "Orchestration", "Checkpoints", "Collectives", "RepVGGModel", "Training", "Kernels",
        "RunPlanning", "Tensors", "ImageData", "Deployment",
      ],
      excluding: ["Golden"]),
    // Run the built program as its users do.
    tests(
      "CommandTests", ["Deployment", "Images", "RunPlanning", "Tensors"], excluding: ["Snapshots"]),
    tests("TidyTests", []),
  ],
  swiftLanguageModes: [.v6]
)
