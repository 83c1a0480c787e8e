#include "compare/report_page.hpp"

namespace fdpstore::compare {

// Colours: ours cool, slots warm, each set told apart by colour-blind readers (after Okabe and Ito,
// and Tol); shapes and dashes say the same again.
const std::string_view kReportStyle = R"css(
:root{color-scheme:light dark;--bg:#fff;--panel:#f6f7f9;--ink:#1b1f24;--soft:#5b6570;
--line:#d9dde3;
--good:#0b6b4f;--goodbg:#e5f4ee;--bad:#a3260f;
--c0:#0072b2;--c1:#009e73;--c2:#aa4499;--c3:#3a9ad0;--c4:#332288;--c5:#117733;--c6:#882255;
--c7:#3c8f86;
--w0:#d55e00;--w1:#b37700;--w2:#8c510a;--grey:#6b7480}
@media screen and (prefers-color-scheme:dark){:root{--bg:#14171b;--panel:#1d2126;--ink:#e8eaed;
--soft:#a0a9b4;--line:#363c44;--good:#6fdcb4;--goodbg:#16332a;--bad:#ff9b85;
--c0:#5ab0f0;--c1:#2fcfa0;--c2:#e08acf;--c3:#9ad6ff;--c4:#a79bff;--c5:#7fd18b;--c6:#e884a9;
--c7:#6fe0cf;
--w0:#ff8a4c;--w1:#f0b429;--w2:#d8a066;--grey:#9aa4b0}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:20px 16px 60px;background:var(--bg);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.5rem;margin:0}h2{font-size:1.2rem;margin:2.2rem 0 .6rem}h3{font-size:1rem;
margin:0 0 .2rem}
p{margin:.4rem 0}.soft{color:var(--soft)}.bad{color:var(--bad)}small,.small{font-size:.86rem}
[hidden]{display:none!important}
.card{background:var(--panel);border:1px solid var(--line);border-left:6px solid var(--c1);
border-radius:8px;padding:14px 18px;margin:14px 0}
.card .of{color:var(--soft);font-size:.9rem;overflow-wrap:anywhere}
.say{font-size:1.3rem;line-height:1.35;margin:.15rem 0 .4rem;overflow-wrap:anywhere}.say b{
color:var(--good)}
.ranks{width:100%;border-collapse:collapse;margin-top:10px;font-size:.93rem}
.ranks th{text-align:left;font-weight:600;color:var(--soft);padding:2px 12px 4px 0}
.ranks td{padding:2px 12px 2px 0;vertical-align:middle}
.ranks .n{white-space:nowrap;width:1%}.ranks svg{width:16px;height:16px;vertical-align:-3px;
overflow:visible}
.ranks .win td{background:var(--goodbg);font-weight:650}.ranks .out{color:var(--soft)}
.meter{display:flex;align-items:center;gap:8px}.meter span{min-width:3.1em;text-align:right;
font-variant-numeric:tabular-nums}
.meter i{flex:1;height:11px;position:relative;max-width:320px}
.meter i::before{content:"";position:absolute;inset:0 auto 0 0;width:var(--p);
background:var(--c);border-radius:2px}
.minis{display:grid;grid-template-columns:repeat(auto-fill,minmax(255px,1fr));gap:10px}
.minis button{font:inherit;color:inherit;text-align:left;background:var(--panel);
border:1px solid var(--line);
border-radius:8px;padding:8px;cursor:pointer}.minis button.on{border-color:var(--c0);
box-shadow:0 0 0 1px var(--c0)}
.minis b{display:block;font-size:.9rem;overflow-wrap:anywhere}.minis span{font-size:.84rem;
color:var(--soft)}
#filters{display:flex;flex-wrap:wrap;gap:8px 16px;align-items:end;position:sticky;top:0;
background:var(--bg);
padding:8px 0;z-index:2;border-bottom:1px solid var(--line)}
#filters label{font-size:.82rem;color:var(--soft);display:flex;flex-direction:column;min-width:0}
select{font:inherit;max-width:min(300px,90vw);padding:4px 6px;background:var(--panel);
color:var(--ink);border:1px solid var(--line);border-radius:6px}
.key{display:flex;flex-wrap:wrap;gap:2px 16px;margin:8px 0 12px;padding:0;list-style:none;
font-size:.9rem}
.key svg{width:16px;height:16px;vertical-align:-3px;overflow:visible}
.charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px}
figure{margin:0;background:var(--panel);border:1px solid var(--line);border-radius:8px;
padding:12px;min-width:0}
figcaption{font-size:.86rem;color:var(--soft)}
figure svg,.minis svg{display:block;width:100%;height:auto}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--ink)}
svg .tick{font-size:11px;fill:var(--soft)}svg .name{font-size:12px;fill:var(--soft)}svg .soft{
fill:var(--soft)}
svg .strong{font-weight:700}svg .inbar{font-size:11px;fill:#fff;font-weight:600}
.minis svg text{font-size:22px}svg .label{paint-order:stroke;stroke:var(--panel);stroke-width:3px;
stroke-linejoin:round}
figure svg+svg{margin-top:10px}summary{cursor:pointer;color:var(--soft)}
.grid{stroke:var(--line);stroke-width:1}.axis{stroke:var(--soft)}.leader{stroke:var(--soft);
stroke-width:.8}
.lru{stroke:var(--grey);stroke-width:1.5;stroke-dasharray:6 4}.pareto{fill:none;
stroke:var(--soft);stroke-width:1.5}
.mark{fill:var(--c);stroke:var(--bg);stroke-width:1}.hollow{fill:var(--bg);stroke:var(--c);
stroke-width:2}
.ring{fill:none;stroke:var(--good);stroke-width:2}
.curve{fill:none;stroke:var(--c);stroke-width:1.8}.thick{stroke-width:3}.dashed{
stroke-dasharray:7 4}.dotted{stroke-dasharray:2 3}
.bar{fill:var(--c)}.p999{opacity:.25}.p99{opacity:.5}
.ruh{fill:#0072b2;stroke:var(--bg);stroke-width:.7}.r1{fill:#117733}.r2{fill:#aa4499}.r3{
fill:#a85500}.r4{fill:#332288}.r5{fill:#5b6570}.r6{fill:#882255}.r7{fill:#2b7a72}
.wide{overflow-x:auto;border:1px solid var(--line);border-radius:8px}
table.cells{border-collapse:collapse;font-size:.84rem;width:100%;
font-variant-numeric:tabular-nums}
.cells th,.cells td{padding:4px 8px;border-bottom:1px solid var(--line);text-align:right;
white-space:nowrap}
.cells .t{text-align:left;max-width:15em;overflow:hidden;text-overflow:ellipsis}.cells .why{
white-space:normal;text-align:left}
.cells thead th{background:var(--panel);vertical-align:bottom}
.cells th button{font:inherit;font-weight:600;color:inherit;background:none;border:0;padding:0;
cursor:pointer;text-align:inherit}
.cells th[aria-sort=ascending] button::after{content:" ▲"}
.cells th[aria-sort=descending] button::after{content:" ▼"}
.cells tr.win td{background:var(--goodbg)}.cells .best{font-weight:700;color:var(--good)}
.cells .stick{position:sticky;left:0;background:var(--bg)}.cells thead .stick,
.cells tr.win .stick{background:var(--panel)}
pre{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:12px;
overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px}dt{font-weight:600}dd{margin:0}
@media(max-width:760px){body{font-size:15px;padding:14px 12px 40px}.charts{
grid-template-columns:minmax(0,1fr)}
.say{font-size:1.12rem}dl{grid-template-columns:1fr}dd{margin-bottom:6px}#filters{position:static}
.minis{grid-template-columns:repeat(2,minmax(0,1fr))}figure{padding:8px}.ranks td,.ranks th{
padding-right:6px}.ranks .n{white-space:normal;width:auto}
.card{padding:12px}.meter{flex-direction:column;align-items:stretch;gap:0}
.meter span{text-align:left}.meter i{flex:none;height:6px}}
@media print{body{max-width:none;padding:0;font-size:10pt}#filters{display:none}figure,.card,
.minis button{break-inside:avoid}h2,h3{break-after:avoid}
section.setting~section.setting{break-before:page}figure svg{max-height:10cm}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.cells{font-size:6.5pt!important}
.cells th,.cells td{padding:2px 3px}.wide{overflow:visible}}
)css";

const std::string_view kReportScript = R"js(
(function(){'use strict';
var all=function(q,e){return Array.prototype.slice.call((e||document).querySelectorAll(q));};
var selects=all('#filters select'),parts=all('section.setting'),minis=all('.minis button'),
 rows=all('table.cells tbody tr');
function fits(e){return selects.every(function(s){
 return s.value===''||e.dataset[s.name]===s.value;});}
function apply(){var n=0;
 parts.forEach(function(e){e.hidden=!fits(e);n+=e.hidden?0:1;});
 rows.forEach(function(e){e.hidden=!fits(e);});
 minis.forEach(function(e){e.classList.toggle('on',fits(e));});
 var none=document.getElementById('none');if(none)none.hidden=n>0;}
function choose(e){selects.forEach(function(s){s.value=e.dataset[s.name];});apply();}
selects.forEach(function(s){s.addEventListener('change',apply);});
minis.forEach(function(e){e.addEventListener('click',function(){choose(e);
 document.getElementById('filters').scrollIntoView();});});
var showAll=document.getElementById('all');
if(showAll)showAll.addEventListener('click',function(){selects.forEach(function(s){s.value='';});
 apply();});
if(parts.length>2)choose(parts[0]);
all('table.cells th button').forEach(function(b){b.addEventListener('click',function(){
 var th=b.parentNode,i=Array.prototype.indexOf.call(th.parentNode.children,th),
 down=th.getAttribute('aria-sort')==='ascending';
 all('th',th.parentNode).forEach(function(o){o.removeAttribute('aria-sort');});
 th.setAttribute('aria-sort',down?'descending':'ascending');
 var body=document.querySelector('table.cells tbody');
 var value=function(r){var c=r.children[i];return c&&c.dataset.v!==undefined?c.dataset.v:null;};
 rows.slice().sort(function(a,b){var x=value(a),y=value(b);
  if(x===null||x==='')return y===null||y===''?0:1;if(y===null||y==='')return -1;
  var d=isNaN(x)||isNaN(y)?(x<y?-1:x>y?1:0):x-y;return down?-d:d;}).forEach(function(r){
 body.appendChild(r);});});});
})();
)js";

const std::string_view kReportGlossary = R"html(<dl>
<dt>hit ratio</dt><dd>Tokens found in the leading run of stored chunks, of all tokens looked up:
what a server need not compute again.</dd>
<dt>object hit ratio</dt><dd>Chunks found of chunks looked up, wherever they stand.</dd>
<dt>DLWA</dt><dd>Device write amplification: bytes the drive writes to its flash for each byte
it is sent. 1.00 is the least.</dd>
<dt>host WA</dt><dd>Bytes the store sends for each byte it is given: headers, padding, objects
moved by reclaim.</dd>
<dt>total WA</dt><dd>DLWA × host WA: what a stored byte costs in drive life.</dd>
<dt>written</dt><dd>Total WA × stored bytes: what the drive writes for the same requests. A store
that misses more is given more to store; this counts it, so it decides which store is advised.</dd>
<dt>RU, RUH</dt><dd>Reclaim unit: what the drive erases as a whole. A reclaim unit handle fills
one unit at a time; FDP lets the store choose the handle of each write.</dd>
<dt>mode</dt><dd><b>no_fdp</b>: writes carry no handle. <b>mixed</b>: all carry the same.
<b>separated</b>: the policy chooses.</dd>
<dt>slots</dt><dd>A model of LMCache's raw_block: fixed slots that are used again when freed; by
tenant: with a handle for each tenant; affine: and a freed slot goes to the same handle.</dd>
<dt>LRU</dt><dd>Least recently used object dropped first, in as many bytes, without a drive: the
hit ratio to compare with.</dd>
<dt>oracle</dt><dd>A policy that knows the future. It shows what prediction could still gain;
nobody can run it.</dd>
<dt>frontier</dt><dd>The line no store is above: the most hits that can be had for so much
wear.</dd>
<dt>steady state</dt><dd>At least 4 capacities written, and the last two passes' DLWA within 1
%. Figures are of the last pass.</dd>
<dt>p50, p99, p99.9</dt><dd>So many per cent of the tasks took no longer. Device time on a
simulated drive, else wall time.</dd>
<dt>spare</dt><dd>Flash beyond the drive's capacity, which lets it collect garbage.</dd>
</dl>)html";

}  // namespace fdpstore::compare
