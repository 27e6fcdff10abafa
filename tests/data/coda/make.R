# Makes draws.csv.gz and coda.json: Rscript make.R, with R 4.2.2 and its package coda 0.19-4.1
# (Plummer, Best, Cowles and Vines 2006, R News 6:7-11), here the Debian package r-cran-coda.
library(coda)

set.seed(20061)
n <- 4000
autoregression <- function(rho) as.numeric(filter(rnorm(n), rho, "recursive")) * sqrt(1 - rho^2)
chain <- function(trend) {
  jumps <- cumsum(c(1, runif(n - 1) < 0.15))
  data.frame(
    white = rnorm(n),
    slow = 2 + autoregression(0.9),
    drift = 5 + autoregression(0.5) + trend,
    sticky = rgamma(n, 2)[jumps],
    swing = autoregression(-0.6)
  )
}
draws <- rbind(
  cbind(chain = 1, chain((1:n) / n)),
  cbind(chain = 2, chain(2 * exp(-(1:n) / 150)))
)
draws[-1] <- round(draws[-1], 4)
file <- gzfile("draws.csv.gz", "w", compression = 9)
write.csv(draws, file, row.names = FALSE, quote = FALSE)
close(file)

draws <- read.csv("draws.csv.gz")
names <- names(draws)[-1]
number <- function(x) ifelse(is.finite(x), sprintf("%.15g", x), "null")
# A named vector as an object, a matrix as an object of objects by row.
object <- function(x) {
  values <- if (is.matrix(x)) apply(x, 1, object) else if (is.list(x)) x else number(x)
  keys <- if (is.matrix(x)) rownames(x) else names(x)
  paste0("{", paste0('"', keys, '": ', values, collapse = ",\n"), "}")
}
named <- function(x, n) structure(x, names = n)

case <- function(length) {
  both <- mcmc.list(lapply(1:2, function(k) mcmc(as.matrix(draws[draws$chain == k, -1])[1:length, ])))
  one <- function(x) {
    at_zero <- spectrum0.ar(x)
    raftery <- function(...) object(raftery.diag(x, ...)$resmatrix)
    tests <- list(
      spectrum = object(named(at_zero$spec, names)),
      order = object(named(at_zero$order, names)),
      geweke = object(geweke.diag(x)$z),
      geweke_2_4 = object(geweke.diag(x, 0.2, 0.4)$z),
      heidelberger = object(unclass(heidel.diag(x))[, ]),
      heidelberger_strict = object(unclass(heidel.diag(x, eps = 0.02, pvalue = 0.2))[, ]),
      raftery_median = raftery(q = 0.5, r = 0.05, s = 0.9),
      raftery_coarse = raftery(q = 0.025, r = 0.0125, s = 0.95),
      ess = object(effectiveSize(x)),
      autocorrelation = object(t(autocorr.diag(x, lags = c(1, 5, 10, 50)))),
      batch = object(batchSE(x)),
      batch_25 = object(batchSE(x, 25)),
      series = object(summary(x)$statistics[, "Time-series SE"])
    )
    if (length >= 3746) tests$raftery <- raftery()
    object(tests)
  }
  object(list(
    chain_1 = one(both[[1]]),
    chain_2 = one(both[[2]]),
    ess = object(effectiveSize(both)),
    autocorrelation = object(t(autocorr.diag(both, lags = c(1, 5, 10, 50)))),
    batch = object(batchSE(both)),
    series = object(summary(both)$statistics[, "Time-series SE"])
  ))
}
# All draws; and the first 987, a number that the windows do not divide.
writeLines(object(list("4000" = case(4000), "987" = case(987))), "coda.json")
