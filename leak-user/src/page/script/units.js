"use strict";
// Figures with units, spelled as leaktrace spells them everywhere.

function binary(bytes) {
  if (Math.round(bytes) < 1024) return Math.round(bytes) + " B";
  let value = bytes / 1024;
  for (const unit of ["KiB", "MiB", "GiB", "TiB", "PiB"]) {
    // As printed, or 1 MiB less a byte would read 1024.0 KiB.
    if (Math.round(value * 10) < 10240) return value.toFixed(1) + " " + unit;
    value /= 1024;
  }
  return value.toFixed(1) + " EiB";
}

function signed(bytes) {
  const sign = Math.round(bytes) > 0 ? "+" : Math.round(bytes) < 0 ? "-" : "";
  return sign + binary(Math.abs(bytes));
}

function rate(bytesPerSecond) {
  return signed(bytesPerSecond) + "/s";
}

function seconds(time) {
  const tenths = Math.round(Math.max(0, time) * 10);
  const whole = Math.round(Math.max(0, time));
  const two = (n) => String(n).padStart(2, "0");
  if (tenths === 0) return "0 s";
  if (tenths < 100) return (tenths / 10).toFixed(1) + " s";
  if (whole < 60) return whole + " s";
  if (whole < 3600) return Math.floor(whole / 60) + " m " + two(whole % 60) + " s";
  if (whole < 86400) return Math.floor(whole / 3600) + " h " + two(Math.floor(whole / 60) % 60) + " m";
  return Math.floor(whole / 86400) + " d " + (Math.floor(whole / 3600) % 24) + " h";
}

// Text in which a figure keeps its unit when a line is broken.
function unbroken(text) {
  return text.replace(/(\d) (?=(?:B|[KMGTPE]iB|%|[smhd])(?![a-zA-Z]))/g, "$1\u00a0");
}

function count(things) {
  return String(things).replace(/\B(?=(\d{3})+$)/g, ",");
}

function plural(things, one) {
  return count(things) + " " + one + (things === 1 ? "" : "s");
}

function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 0.05) return "<0.1 %";
  if (value < 9.95 && Math.round(value * 10) % 10 !== 0) return value.toFixed(1) + " %";
  return Math.round(value) + " %";
}
