/// The style of the page; its hash is in the page's Content-Security-Policy, so no other style takes effect.
enum WebPageStyle {
    /// Of ``text``; a test computes it anew.
    static let hash = "sha256-Wt7kSsNhj/2/k7KgYRaVUDeCZW44/+3MWt/VoyvLE6U="

    static let text = """
        :root{--paper:#fcfcfa;--ink:#1c2226;--muted:#5a646c;--line:#dadeda;--soft:#f1f3f0;--good:#356b45;--bad:#a23b31;
        --s0:#2f6f8f;--s1:#cf8a2c;--s2:#84507a;--s3:#5b8a58;--s4:#b24a40;--s5:#8b9196}
        @media (prefers-color-scheme:dark){:root{--paper:#15191c;--ink:#e2e6e4;--muted:#9ba5ac;--line:#30373c;
        --soft:#1d2327;--good:#83bd92;--bad:#e58e84;
        --s0:#6fb1d0;--s1:#e3ac5c;--s2:#bd8ab3;--s3:#8fbe8b;--s4:#e08379;--s5:#878f95}}
        *{box-sizing:border-box}
        html{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif}
        body{margin:0 auto;padding:2.5rem 1.5rem 4rem;max-width:64rem;background:var(--paper);color:var(--ink)}
        h1{font-size:1.7rem;line-height:1.25;margin:0 0 .3rem;font-weight:650}
        h2{font-size:1.2rem;line-height:1.3;margin:0 0 .6rem;font-weight:650}
        p{margin:0 0 .7rem;max-width:46rem}
        a{color:inherit;text-decoration-color:var(--muted);text-underline-offset:.2em}
        .muted,footer,figcaption,caption{color:var(--muted)}
        section{margin:2.4rem 0 0;padding:1.6rem 0 0;border-top:1px solid var(--line)}
        .figures{display:grid;grid-template-columns:repeat(4,1fr);gap:.75rem;margin:1.4rem 0}
        .figures div{display:flex;flex-direction:column-reverse;justify-content:flex-end;padding:.8rem 1rem;
        background:var(--soft);border-left:3px solid var(--line)}
        .figures dt{color:var(--muted);font-size:.85rem;line-height:1.3}
        .figures dd{margin:0;font-size:1.5rem;font-weight:650;font-variant-numeric:tabular-nums}
        .figures .good{border-color:var(--good)}
        .figures .bad{border-color:var(--bad)}
        .figures .bad dd{color:var(--bad)}
        nav ul{columns:3 15rem;margin:0;padding:0;list-style:none;font-size:.9rem}
        nav li{padding:.15rem 0}
        figure{margin:1.2rem 0;max-width:46rem}
        figcaption,caption{font-size:.9rem;text-align:left;padding:0 0 .4rem}
        svg{display:block;width:100%;height:auto;overflow:visible}
        svg text{font-size:13px;fill:var(--muted);font-variant-numeric:tabular-nums}
        .grid{stroke:var(--line);fill:none}
        .line{stroke:var(--s0);stroke-width:1.5;fill:none}
        .area{fill:var(--s0);opacity:.16}
        .s0{fill:var(--s0);background:var(--s0)}.s1{fill:var(--s1);background:var(--s1)}
        .s2{fill:var(--s2);background:var(--s2)}.s3{fill:var(--s3);background:var(--s3)}
        .s4{fill:var(--s4);background:var(--s4)}.s5{fill:var(--s5);background:var(--s5)}
        .legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.5rem 0 0;padding:0;list-style:none;font-size:.85rem}
        .legend i{display:inline-block;width:.75rem;height:.75rem;margin-right:.4rem}
        details{margin:.6rem 0 1rem}
        details summary{cursor:pointer;font-size:.9rem;color:var(--muted)}
        table{border-collapse:collapse;width:100%;margin:.8rem 0 1rem;font-size:.875rem;line-height:1.4}
        th,td{padding:.4rem .9rem .4rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);
        overflow-wrap:anywhere}
        th{font-weight:600;color:var(--muted);white-space:nowrap}
        th.n,td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
        td{min-width:5.5rem}
        td.n{min-width:0}
        td.c{min-width:17rem}
        code{font:.92em/1.45 ui-monospace,"DejaVu Sans Mono","Liberation Mono",monospace}
        footer{margin:3rem 0 0;padding:1rem 0 0;border-top:1px solid var(--line);font-size:.85rem}
        @media (max-width:40rem){body{padding:1.4rem 1rem 3rem}
        .figures{grid-template-columns:1fr 1fr}
        svg text{font-size:24px}
        thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
        table,tbody,tr,td{display:block;width:100%}
        tr{padding:.5rem 0;border-bottom:1px solid var(--line)}
        td,td.n{display:grid;grid-template-columns:6.5rem 1fr;gap:.6rem;padding:.1rem 0;border:0;text-align:left;
        white-space:normal}
        td,td.c{min-width:0}
        td::before{content:attr(data-label);color:var(--muted)}}
        @media print{:root{--paper:#fff;--ink:#000;--muted:#444;--line:#bbb;--soft:#f4f4f4;--good:#356b45;--bad:#a23b31;
        --s0:#2f6f8f;--s1:#cf8a2c;--s2:#84507a;--s3:#5b8a58;--s4:#b24a40;--s5:#8b9196}
        @page{margin:16mm 14mm}
        html{font-size:10pt}
        body{max-width:none;padding:0}
        nav,details{display:none}
        section{margin:1.2rem 0 0;padding:.9rem 0 0}
        h2,figcaption{break-after:avoid}
        figure,tr,.figures{break-inside:avoid}
        figure{max-width:120mm}
        thead{display:table-header-group}
        table{font-size:8pt;line-height:1.3}
        td,th{padding:.2rem .7rem .2rem 0}
        h2+p{break-after:avoid}
        *{print-color-adjust:exact;-webkit-print-color-adjust:exact}}

        """
}
