import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension TableShape {
    func logging(to group: UInt16) -> Self {
        var shape = self
        shape.logGroup = group
        return shape
    }
}

/// All tests that use the kernel; serialized, because they measure times and move their thread between namespaces.
@Suite(.serialized, .enabled(if: geteuid() == 0))
enum KernelTests {}

extension KernelTests {
    @Suite struct Golden {
        static let shapes: [(name: String, shape: TableShape)] = [
            ("guard", TableShape()),
            ("observe", TableShape(observes: true)),
            ("log", TableShape().logging(to: 111)),
            ("observe-log", TableShape(observes: true).logging(to: 111)),
            ("sets", TableShape(management: .sets)),
            ("marks", marked),
            ("gateway", gateway),
            ("gateway-log", gateway.logging(to: 111)),
            ("mark-0", TableShape(mark: 0, keep: .seconds(5400), grantsMax: 100, quarantinesMax: 50)),
        ]

        /// Two servers, the second with ports that are closed ahead of time.
        static var gateway: TableShape {
            var shape = TableShape(mark: 0x10000)
            var gateway = GatewayShape(addresses: [.v4(0x0a5b_0202), .v6(IPv6Bits(0xfd91_0002 << 96 | 2))])
            gateway.closed = [.init(ServerID(rawValue: 2), .tcp, 32_768...65_535)]
            shape.gateway = gateway
            return shape
        }

        private static var marked: TableShape {
            var shape = TableShape(mark: 0x10000)
            (shape.flowMark, shape.ownFlowMark) = (0x10000, 0x20000)
            return shape
        }

        @Test("nft lists the table as the golden file has it", arguments: shapes)
        func listing(name: String, shape: TableShape) throws {
            let listed = try inFreshNamespace {
                let table = try NetfilterTable()
                #expect(table.commit(Transaction(table: "rpcwarden", operations: [.makeTable(shape)])) == nil)
                // Removes an element that expires a moment later.
                return shell("nft list table inet rpcwarden | sed '/elements = { udp timeout 200ms/d'")
            }
            #expect(listed.status == 0)
            #expect(listed.text == golden(name, listed.text))
        }

        @Test("nft makes the same table from its listing, elements and comments included", arguments: shapes)
        func feedsBack(name: String, shape: TableShape) throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                var operations: [Operation] = [.makeTable(shape)]
                operations += shape.management == .sets ? Example.elements : Example.operations
                if shape.gateway != nil { operations += Example.atServers }
                operations.append(Example.issue(Example.grant(.v4(1)), comment: "say \"no\"\n\\ }"))
                #expect(table.commit(Transaction(table: "rpcwarden", operations: operations)) == nil)
                let fedBack = shell(
                    "cd $(mktemp -d) && nft -s list ruleset > a && nft flush ruleset && nft -f a && nft -s list ruleset > b"
                        + " && sed -i 's/ expires [0-9a-z]*//; /elements = { udp timeout 200ms/d' a b && diff a b && rm a b && rmdir $PWD"
                )
                #expect(fedBack.status == 0, "\(fedBack.text)")
            }
        }

        /// The text of the golden file; a missing file is written first.
        private func golden(_ name: String, _ text: String) -> String {
            let path = #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/Golden/\(name).nft"
            guard let file = fopen(path, "r") else {
                Issue.record("\(path) was missing; it now holds what nft prints: check it")
                guard let new = fopen(path, "w") else { return "" }
                fputs(text, new)
                fclose(new)
                return text
            }
            defer { fclose(file) }
            var buffer = [UInt8](repeating: 0, count: 65536)
            let count = fread(&buffer, 1, buffer.count, file)
            return String(decoding: buffer[..<count], as: UTF8.self)
        }
    }
}
