import numpy as np,time,collections
G=np.load('/tmp/rabbit-scratch/graph.npz');V=np.load('/tmp/rabbit-scratch/events.npz')
A=V['A'];src,dst,indptr=G['src'],G['dst'],G['indptr'];E=len(src);N=len(indptr)-1
u,e,tgt,pid,sp,fold,fin,final,depth,backs=A.T
tr=sp<8;te=sp==9
print('self-clicks',(src[e]==dst[e]).sum())
indeg=np.bincount(dst,minlength=N)
def ev(score,mask):
    # score: fn(i)->scores over candidates of u[i]
    mrr=[];top=[];nll=[]
    for i in np.flatnonzero(mask):
        s=score(i); y=e[i]-indptr[u[i]]
        better=(s>s[y]).sum(); tie=(s==s[y]).sum()
        mrr.append(np.mean(1/(better+1+np.arange(tie)))); top.append((better==0)/tie); 
    return round(np.mean(top),4),round(np.mean(mrr),4),len(mrr)
c1=np.bincount(e[tr],minlength=E).astype(float)
tri=collections.defaultdict(lambda: collections.Counter())
prev=V['stack'][:,-2]
for i in np.flatnonzero(tr): tri[prev[i],u[i]][e[i]-indptr[u[i]]]+=1
def m1(i): s=slice(indptr[u[i]],indptr[u[i]+1]); return c1[s]+1e-3*indeg[dst[s]]/1000
def m2(i):
    s=m1(i).copy(); p=s/s.sum(); k=tri.get((prev[i],u[i]))
    if not k: return p
    n=sum(k.values()); q=p*3
    for a,b in k.items(): q[a]+=b
    return q
un=lambda i: np.zeros(indptr[u[i]+1]-indptr[u[i]])
ind=lambda i: indeg[dst[indptr[u[i]]:indptr[u[i]+1]]]
if __name__=='__main__':
    for name,m in (('fin',te&(fin==1)&(final==0)),('unf',te&(fin==0))):
        for nm,f in (('uniform',un),('indeg',ind),('m1',m1),('m2',m2)): print(name,nm,ev(f,m))
