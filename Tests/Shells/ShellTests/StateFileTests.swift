import Foundation
import System
import Testing

@Suite("a file that is replaced as a whole") struct StateFileTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "rpcwarden-state-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(atPath: folder) } }
        try body(folder)
    }

    @Test("is not written by way of a file or link that another made under the draft's name")
    func draftOfAnother() throws {
        try withFolder { folder in
            let file = StateFile(path: folder + "/report", mode: 0o644)
            try Data("theirs".utf8).write(to: URL(fileURLWithPath: folder + "/report.new"))
            try file.write(Array("ours".utf8))
            #expect(try file.contents(max: 9) == Array("ours".utf8))
            #expect(try String(contentsOfFile: folder + "/report.new", encoding: .utf8) == "theirs")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["report", "report.new"])
        }
    }

    @Test("leaves no draft of a process that ended in a folder of its own, however often one does")
    func draftLeft() throws {
        try withFolder { folder in
            let file = StateFile(folder: folder, name: "guard", ownsFolder: true)
            for text in ["one", "two"] {
                try Data("half".utf8).write(to: URL(fileURLWithPath: folder + "/guard.new"))
                try file.write(Array(text.utf8))
                #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["guard"])
            }
            #expect(try file.contents(max: 9) == Array("two".utf8))
        }
    }

    @Test("stays as it was when a new one can't be written, and leaves no draft")
    func failure() throws {
        try withFolder { folder in
            // Its draft's name is longer than a name may be.
            let file = StateFile(folder: folder, name: String(repeating: "a", count: 253))
            try Data("before".utf8).write(to: URL(fileURLWithPath: file.path))
            #expect(throws: StateFileError.self) { try file.write([0x61]) }
            #expect(try file.contents(max: 9) == Array("before".utf8))
            // A folder that isn't empty is not replaced.
            let place = StateFile(folder: folder, name: "place")
            try FileManager.default.createDirectory(atPath: place.path + "/x", withIntermediateDirectories: true)
            #expect(throws: StateFileError.self) { try place.write([0x61]) }
            #expect(try !FileManager.default.contentsOfDirectory(atPath: folder).contains { $0.contains(".new") })
        }
    }
}
