import Activity
import Foundation
import Testing

@testable import Console

@Suite("colours on a terminal") struct DisplayTests {
    /// Red, green and blue from 0 to 255.
    private typealias Colour = (Double, Double, Double)

    /// What terminals make of the codes: black to white, then the same brightly. Solarized has its backgrounds elsewhere.
    private static let palettes: [(name: String, colours: [UInt32], backgrounds: [UInt32])] = [
        (
            "xterm",
            [
                0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5, 0x7f7f7f, 0xff0000,
                0x00ff00, 0xffff00, 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff,
            ], [0x000000, 0xffffff]
        ),
        (
            "Linux's console",
            [
                0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa, 0x555555, 0xff5555,
                0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff,
            ], [0x000000]
        ),
        (
            "GNOME",
            [
                0x171421, 0xc01c28, 0x26a269, 0xa2734c, 0x12488b, 0xa347ba, 0x2aa1b3, 0xd0cfcc, 0x5e5c64, 0xf66151,
                0x33da7a, 0xe9ad0c, 0x2a7bde, 0xc061cb, 0x33c7de, 0xffffff,
            ], [0x1e1e1e, 0xffffff]
        ),
        (
            "Solarized",
            [
                0x073642, 0xdc322f, 0x859900, 0xb58900, 0x268bd2, 0xd33682, 0x2aa198, 0xeee8d5, 0x002b36, 0xcb4b16,
                0x586e75, 0x657b83, 0x839496, 0x6c71c4, 0x93a1a1, 0xfdf6e3,
            ], [0x002b36, 0xfdf6e3]
        ),
    ]

    /// WCAG 2.1's relative luminance.
    private static func luminance(_ colour: UInt32) -> Double {
        let parts = [16, 8, 0].map { shift -> Double in
            let part = Double(colour >> shift & 0xff) / 255
            return part <= 0.03928 ? part / 12.92 : pow((part + 0.055) / 1.055, 2.4)
        }
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    }

    private static func contrast(_ first: UInt32, _ second: UInt32) -> Double {
        let (one, other) = (luminance(first), luminance(second))
        return (max(one, other) + 0.05) / (min(one, other) + 0.05)
    }

    @Test(
        "can be read on dark backgrounds and on light ones",
        arguments: [Line.Emphasis.plain, .strong, .heading, .warning, .alarm])
    func contrast(emphasis: Line.Emphasis) throws {
        let codes = (emphasis.code ?? "").split(separator: ";").compactMap { Int($0) }
        #expect(codes.allSatisfy { [1, 4].contains($0) || (31...36).contains($0) }, "faint text can't be read")
        guard let colour = codes.first(where: { $0 >= 31 }) else { return }
        for palette in Self.palettes {
            // Linux's console shows bold letters in the bright colour alone, others in both or in one.
            var shown = [palette.colours[colour - 30]]
            if codes.contains(1) {
                let bright = palette.colours[colour - 30 + 8]
                shown = palette.backgrounds.count == 1 ? [bright] : shown + [bright]
            }
            for background in palette.backgrounds {
                for colour in shown {
                    let contrast = Self.contrast(colour, background)
                    #expect(contrast >= 2.5, "\(palette.name), \(String(colour, radix: 16)): \(contrast)")
                }
            }
        }
    }

    @Test("stand around the words, and the words stay as they are")
    func coloured() {
        let line = (Paragraph("high:", .alarm) + Paragraph("x")).lines(columns: nil)[0]
        #expect(line.coloured == "\u{1b}[1;31mhigh:\u{1b}[m x" && line.text == "high: x")
    }
}
